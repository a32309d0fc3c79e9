/** The program reads its configuration anew: by signal, by itself, by an operator; in one process and in two. */

import assert from 'node:assert/strict'
import { mkdtemp, readFile, rename, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { readNoting, watchFiles } from '../../app/cli/config-watch.ts'
import { loadConfig } from '../../app/config/load-config.ts'
import { eventually, within } from '../support/deadline.ts'
import { residentMegabytes } from '../support/process-status.ts'
import { rawRequest } from '../support/raw-client.ts'
import { untilAvailable } from '../support/router-over.ts'
import { type RouterProcess, startRouter } from '../support/router-process.ts'
import type { Scope } from '../support/scope.ts'
import { type ScriptedWorker, startScriptedWorker } from '../support/scripted-worker.ts'
import { sized } from '../support/soak.ts'

const timeout = 60_000
const reloads = sized(500, 100)
const chat = { model: 'test-model', messages: [{ role: 'user', content: 'hi' }] }

interface Kit {
  readonly router: RouterProcess
  readonly workers: readonly ScriptedWorker[]
  /** Replaces the file in one step, as an editor and Kubernetes do. */
  readonly write: (lines: string) => Promise<void>
  readonly ask: (headers?: [string, string][]) => Promise<number>
  readonly reload: () => Promise<{
    status: number
    body: { ok: boolean; changed: string[]; problems: string[] }
  }>
}

async function start(t: Scope, processes: number): Promise<Kit> {
  const home = await mkdtemp(join(tmpdir(), 'vllm-router-reload-'))
  t.after(() => rm(home, { recursive: true, force: true }))
  const workers = await Promise.all(
    [0, 1].map(() => startScriptedWorker(undefined, { t, tokens: 20, tokenMs: 20 })),
  )
  const file = join(home, 'router.yaml')
  const base = `worker-urls: [${workers.map(({ url }) => JSON.stringify(url)).join(', ')}]\nworker-startup-check-interval: 0.1\n`
  const write = async (lines: string): Promise<void> => {
    await writeFile(`${file}.new`, `${base}${lines}\n`)
    await rename(`${file}.new`, file)
  }
  await write('')
  const router = await startRouter({ t, args: ['--config', file, '--processes', String(processes)] })
  await untilAvailable(router, 2)
  return {
    ...{ router, workers, write },
    async ask(headers = []) {
      const exchange = rawRequest({ port: router.apiPort, path: '/v1/chat/completions', json: chat, headers })
      return (await within(10_000, exchange.text(), 'an answer')).status
    },
    async reload() {
      const exchange = rawRequest({ port: router.operationsPort, method: 'POST', path: '/reload', json: {} })
      const { status, text } = await within(20_000, exchange.text(), 'the result')
      return { status, body: JSON.parse(text) }
    },
  }
}

const said = ({ router }: Kit, msg: string) => router.logs().filter((line) => line.msg === msg)

for (const processes of [1, 2]) {
  describe(`a router of ${processes} ${processes === 1 ? 'process' : 'processes'}`, () => {
    test('takes a changed file over at SIGHUP, and says what has changed', { timeout }, async (t) => {
      const kit = await start(t, processes)
      await kit.write('router-api-keys: [secret-key]\nlog-level: debug')
      kit.router.signal('SIGHUP')
      await eventually(() => said(kit, 'configuration reloaded').length > 0, { what: 'a word' })
      const [line] = said(kit, 'configuration reloaded')
      assert.deepEqual([line?.cause, line?.changed], ['SIGHUP', ['--router-api-keys', '--log-level']])
      assert.equal(await kit.ask(), 401)
      assert.equal(await kit.ask([['authorization', 'Bearer secret-key']]), 200)
      assert.equal(await kit.router.metric('vllm_router_config_reload_success'), 1)
    })

    test('leaves everything as it is where the file is wrong, and says where', { timeout }, async (t) => {
      const kit = await start(t, processes)
      await kit.write('policy: nope')
      const { status, body } = await kit.reload()
      assert.deepEqual([status, body.ok], [409, false])
      assert.match(body.problems[0] ?? '', /--policy .*router\.yaml:3:9.*got "nope"; allowed: round_robin/)
      assert.equal(await kit.router.metric('vllm_router_config_reload_success'), 0)
      await kit.write('connect-timeout-ms: 1234')
      const second = await kit.reload()
      assert.match(
        second.body.problems.join(),
        /--connect-timeout-ms .*cannot change while the router runs.*restart/,
      )
      assert.equal(await kit.ask(), 200)
      await kit.write('')
      assert.deepEqual((await kit.reload()).body.changed, [])
      assert.equal(await kit.router.metric('vllm_router_config_reload_success'), 1)
    })

    test('shows the configuration in force, without keys', { timeout }, async (t) => {
      const kit = await start(t, processes)
      await kit.write('api-key: hidden-key\nmax-payload-size: 1MiB')
      await kit.reload()
      const { text } = await rawRequest({ port: kit.router.operationsPort, path: '/config' }).text()
      const { settings, last_reload } = JSON.parse(text)
      assert.deepEqual([settings['max-payload-size'], settings['api-key']], ['1MiB', 'set, not shown'])
      assert.deepEqual(last_reload.changed.toSorted(), ['--api-key', '--max-payload-size'])
      assert.doesNotMatch(text, /hidden-key/)
    })

    test(`loses no request and no stream to ${reloads} reloads, half of them wrong, and stays as large as it was`, {
      timeout: sized(600_000, timeout),
    }, async (t) => {
      const kit = await start(t, processes)
      let over = false
      const statuses: number[] = []
      const cut: string[] = []
      const asking = Array.from({ length: 8 }, async () => {
        while (!over) statuses.push(await kit.ask())
      })
      const streaming = Array.from({ length: sized(200, 20) }, async () => {
        while (!over) {
          const json = { ...chat, stream: true }
          const exchange = rawRequest({ port: kit.router.apiPort, path: '/v1/chat/completions', json })
          const { status, text } = await within(20_000, exchange.text(), 'a stream')
          if (status !== 200 || !text.includes('[DONE]')) cut.push(text.slice(-200))
        }
      })
      const [first, second] = kit.workers
      const resident: number[] = []
      for (let round = 0; round < reloads; round++) {
        if (round === reloads / 2 || round === reloads - 1) resident.push(residentMegabytes(kit.router.pid))
        const good = [
          `policy: ${round % 4 === 0 ? 'least_inflight' : 'cache_aware'}`,
          `max-concurrent-requests-per-worker: ${1000 + round}`,
          `worker-urls: [${JSON.stringify((round % 8 < 4 ? first : second)!.url)}]`,
        ]
        await kit.write(round % 2 === 0 ? good.slice(0, 2).join('\n') : 'policy: nope')
        const { status } = await kit.reload()
        assert.equal(status, round % 2 === 0 ? 200 : 409)
      }
      over = true
      await Promise.all([...asking, ...streaming])
      assert.ok(statuses.length > 100)
      assert.deepEqual([...new Set(statuses)], [200])
      assert.deepEqual(cut, [])
      const [half = 0, end = 0] = resident
      t.diagnostic(`${statuses.length} requests; ${half} MB after half of the reloads, ${end} MB after all`)
      assert.ok(end <= 1.3 * half, `${half} MB after half of the reloads, ${end} MB after all`)
    })
  })
}

test('sees by itself that its file has changed', { timeout }, async (t) => {
  const kit = await start(t, 1)
  await kit.write('max-payload-size: 10')
  await eventually(async () => (await kit.ask()) === 413, {
    what: 'the new bound',
    withinMs: 20_000,
    everyMs: 200,
  })
  await eventually(() => said(kit, 'configuration reloaded').length > 0, { what: 'a word' })
  assert.match(String(said(kit, 'configuration reloaded')[0]?.cause), /router\.yaml$/)
})

describe('a file that is looked at', () => {
  async function watched(t: Scope) {
    const home = await mkdtemp(join(tmpdir(), 'vllm-router-watch-'))
    t.after(() => rm(home, { recursive: true, force: true }))
    const file = join(home, 'a.yaml')
    await writeFile(file, 'a')
    const seen: string[] = []
    t.after(watchFiles([file], async () => seen.push(await readFile(file, 'utf8')), { intervalMs: 30 }))
    await new Promise((resolve) => setTimeout(resolve, 100))
    return { file, seen }
  }

  test('is told of when it is replaced, and when it is written', { timeout }, async (t) => {
    const { file, seen } = await watched(t)
    await writeFile(`${file}.new`, 'replaced')
    await rename(`${file}.new`, file)
    await eventually(() => seen.length === 1, { what: 'the first change' })
    await writeFile(file, 'written over')
    await eventually(() => seen.length === 2, { what: 'the second change' })
    assert.deepEqual(seen, ['replaced', 'written over'])
  })

  test('is told of when it was written between its reading and the first look', { timeout }, async (t) => {
    const home = await mkdtemp(join(tmpdir(), 'vllm-router-watch-'))
    t.after(() => rm(home, { recursive: true, force: true }))
    const file = join(home, 'a.yaml')
    await writeFile(file, 'policy: random')
    let readVersion: string | undefined
    const read = readNoting((version) => {
      readVersion = version
    })
    const loaded = await loadConfig({ argv: ['--config', file], env: {}, readFile: read })
    assert.equal(loaded.ok && loaded.config.policy, 'random')
    await writeFile(file, 'policy: round_robin')
    const told = Promise.withResolvers<void>()
    t.after(watchFiles([file], told.resolve, { readVersion, intervalMs: 10 }))
    await within(10_000, told.promise, 'a word')
  })

  test('is told of when its copy brings the size and the time of the one before', { timeout }, async (t) => {
    const { file, seen } = await watched(t)
    const then = 1_700_000_000
    await utimes(file, then, then)
    await eventually(() => seen.length === 1, { what: 'another time' })
    await writeFile(file, 'b')
    await utimes(file, then, then)
    await eventually(() => seen.length === 2, { what: 'the change' })
    assert.deepEqual(seen, ['a', 'b'])
  })

  test('is not told of while it is gone, and is when it comes back', { timeout }, async (t) => {
    const { file, seen } = await watched(t)
    await rm(file)
    await new Promise((resolve) => setTimeout(resolve, 200))
    assert.deepEqual(seen, [])
    await writeFile(file, 'back again')
    await eventually(() => seen.length === 1, { what: 'its return' })
  })
})
