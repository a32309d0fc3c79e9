/** The file of `--keys-file` changes while the router runs: in one process and in two, under load, right and wrong. */

import assert from 'node:assert/strict'
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { hashOfKey } from '../../middleware/key-ring.ts'
import { eventually, within } from '../support/deadline.ts'
import type { RawRequestOptions } from '../support/raw-client.ts'
import { untilAvailable } from '../support/router-over.ts'
import { runRouter, startRouter } from '../support/router-process.ts'
import type { Scope } from '../support/scope.ts'
import { type Chooser, startScriptedWorker } from '../support/scripted-worker.ts'
import { send } from '../support/send-all.ts'
import { shared } from '../support/shared.ts'
import { sized } from '../support/soak.ts'
import { answer } from '../support/wire.ts'

const timeout = 60_000
const swaps = sized(100, 8)

interface Entry {
  readonly name: string
  readonly hash?: readonly string[]
  readonly models?: readonly string[]
}

const entry = (name: string, ...keys: readonly string[]): Entry => ({ name, hash: keys.map(hashOfKey) })

/** A worker that stores responses as vLLM does, and tells every one. */
function storing(): Chooser {
  let made = 0
  return ({ method, path }) => {
    if (!path.startsWith('/v1/responses')) return undefined
    return answer(200, JSON.stringify({ id: method === 'POST' ? `resp_${++made}` : path.split('/')[3] }))
  }
}

async function start(t: Scope, processes: number) {
  const home = await mkdtemp(join(tmpdir(), 'vllm-router-keys-'))
  t.after(() => rm(home, { recursive: true, force: true }))
  const file = join(home, 'keys.json')
  /** Replaces the file in one step, as an editor and Kubernetes do. */
  const write = async (content: readonly Entry[] | string): Promise<void> => {
    await writeFile(`${file}.new`, typeof content === 'string' ? content : JSON.stringify(content, null, 1))
    await rename(`${file}.new`, file)
  }
  const usual = [entry('steady', 'key-one'), entry('leaving', 'key-two')]
  await write(usual)
  const worker = await startScriptedWorker(storing(), { t, everyRoute: true })
  worker.route('GET /health', answer(200, ''))
  worker.route(
    'GET /v1/models',
    answer(200, '{"object":"list","data":[{"id":"test-model","object":"model"}]}'),
  )
  const args = ['--worker-urls', worker.url, '--worker-startup-check-interval', '0.1', '--keys-file', file]
  const router = await startRouter({ t, args: [...args, '--processes', String(processes)] })
  await untilAvailable(router, 1)
  const ask = async (key: string, request: RawRequestOptions = {}) => {
    const json = { model: 'test-model', prompt: 'x' }
    const headers = { 'x-api-key': key }
    const given = request.path === undefined ? { path: '/v1/completions', json } : request
    const { head, body } = await send(router.apiPort, { ...given, headers })
    return { status: head.status, text: body.bytes.toString() }
  }
  const reload = async () => {
    const { body } = await send(router.operationsPort, { method: 'POST', path: '/reload', json: {} }, 20_000)
    return JSON.parse(body.bytes.toString()) as { ok: boolean; changed: string[]; problems: string[] }
  }
  return { router, worker, usual, write, ask, reload }
}

for (const processes of [1, 2]) {
  describe(`with ${processes === 1 ? 'one process' : 'two processes'}`, () => {
    const setup = shared((t) => start(t, processes))

    test('keys come and go, and no request with a key that stays is refused', { timeout }, async () => {
      const { router, usual, write, ask, reload } = await setup()
      await write(usual)
      await reload()
      const statuses: number[] = []
      let isOver = false
      const client = async (): Promise<void> => {
        while (!isOver) statuses.push((await ask('key-one')).status)
      }
      const clients = Promise.all([client(), client(), client()])
      for (let at = 0; at < swaps; at++) {
        const others = Array.from({ length: 100 }, (_, number) =>
          entry(`t-${at}-${number}`, `k-${at}-${number}`),
        )
        const keys = at % 2 === 0 ? ['key-one'] : [`other-${at}`, 'key-one']
        await write([...others, entry('steady', ...keys)])
        const { ok, changed } = await reload()
        assert.deepEqual([ok, changed], [true, ['what is in --keys-file']])
        assert.equal((await ask(`k-${at}-99`)).status, 200)
        if (at > 0) assert.equal((await ask(`k-${at - 1}-99`)).status, 401)
      }
      isOver = true
      await within(10_000, clients, 'the clients')
      assert.ok(statuses.length > swaps, `${statuses.length} requests`)
      assert.deepEqual(
        statuses.filter((status) => status !== 200),
        [],
      )
      assert.equal((await ask('key-two')).status, 401)
      const counted = (tenant: string) => router.metric('vllm_router_tenant_requests_total', { tenant })
      assert.ok(((await counted('steady')) ?? 0) > swaps)
      for (const gone of ['leaving', 't-0-0']) assert.equal(await counted(gone), undefined, gone)
    })

    test('what is wrong stays outside, and is told with its place', { timeout }, async () => {
      const { router, usual, write, ask, reload } = await setup()
      await write(usual)
      await reload()
      await write('[\n {"name": "steady",\n  "hash": "sk-secret"},\n {"name": "steady"}\n]')
      const { ok, problems } = await reload()
      assert.equal(ok, false)
      assert.match(
        problems[0] ?? '',
        /^keys\[0\]\.hash \(file .*keys\.json:3:11\): got a value that is not shown/,
      )
      assert.match(problems[1] ?? '', /^keys\[1\]\.name \(file .*keys\.json:4:11\): the name is given twice/)
      assert.equal((await ask('key-one')).status, 200)
      assert.equal(await router.metric('vllm_router_config_reload_success'), 0)
      assert.doesNotMatch(JSON.stringify(router.logs()), /sk-secret/)
      // An empty list lets nobody in; no file at all changes nothing.
      await write('[]')
      assert.equal((await reload()).ok, true)
      assert.equal((await ask('key-one')).status, 401)
      await write([entry('steady', 'key-three')])
      router.signal('SIGHUP')
      await eventually(async () => (await ask('key-three')).status === 200, {
        what: 'the key of the new file',
      })
    })

    test('a stored response is known to be its tenant’s, whichever process is asked', {
      timeout,
    }, async () => {
      const { usual, write, ask, reload } = await setup()
      await write(usual)
      await reload()
      for (let at = 0; at < 4; at++) {
        const json = { model: 'test-model', input: 'x' }
        const created = await ask('key-one', { path: '/v1/responses', json })
        const { id } = JSON.parse(created.text) as { id: string }
        for (let turn = 0; turn < 6; turn++) {
          assert.equal((await ask('key-one', { path: `/v1/responses/${id}` })).status, 200)
          assert.equal((await ask('key-two', { path: `/v1/responses/${id}` })).status, 404)
          const next = { ...json, previous_response_id: id }
          assert.equal((await ask('key-two', { path: '/v1/responses', json: next })).status, 404)
        }
      }
      assert.equal((await ask('key-one', { path: '/v1/responses/resp_unheard_of' })).status, 404)
    })
  })
}

test('a changed file is read by itself', { timeout }, async (t) => {
  const { router, write, ask } = await start(t, 1)
  await write([entry('steady', 'key-four')])
  await eventually(async () => (await ask('key-four')).status === 200, {
    what: 'the new key',
    withinMs: 20_000,
  })
  assert.equal((await ask('key-one')).status, 401)
  const told = () => router.logs().find(({ msg }) => msg === 'configuration reloaded')
  await eventually(() => told() !== undefined, { what: 'a word on it' })
  assert.match(String(told()?.cause), /keys\.json$/)
})

test('a wrong file does not start the router', { timeout }, async (t) => {
  const home = await mkdtemp(join(tmpdir(), 'vllm-router-keys-'))
  t.after(() => rm(home, { recursive: true, force: true }))
  const file = join(home, 'keys.yaml')
  await writeFile(file, '- name: a\n  hash: sk-secret-key\n')
  for (const processes of ['1', '2']) {
    const { code, stderr } = await runRouter({ t, args: ['--keys-file', file, '--processes', processes] })
    assert.equal(code, 2)
    assert.match(
      stderr,
      /keys\[0\]\.hash \(file .*keys\.yaml:2:9\): got a value that is not shown; allowed: sha256:/,
    )
    assert.doesNotMatch(stderr, /sk-secret/)
  }
})
