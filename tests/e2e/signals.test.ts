/** What signals do to a router: the first order ends it in good order, the second at once, all others nothing. */

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { describe, test } from 'node:test'
import { runtimeTooOld } from '../../app/cli/runtime-floor.ts'
import { eventually, within } from '../support/deadline.ts'
import { processPids, runs } from '../support/process-pids.ts'
import { rawRequest } from '../support/raw-client.ts'
import { routerOver } from '../support/router-over.ts'
import { startScriptedWorker } from '../support/scripted-worker.ts'
import { hang } from '../support/wire.ts'

const timeout = 60_000
const request = { path: '/v1/completions', json: { model: 'test-model', prompt: 'hi', stream: true } }

describe('a router with a stream', () => {
  test('is not ended, and opens no debugger, by signals that order nothing', { timeout }, async (t) => {
    const worker = await startScriptedWorker([hang], { t })
    const router = await routerOver([worker], { t })
    const stream = rawRequest({ port: router.apiPort, ...request })
    t.after(() => stream.abort())
    await within(5000, worker.received(1), 'the stream at the worker')
    for (const signal of ['SIGHUP', 'SIGUSR1', 'SIGUSR2', 'SIGQUIT', 'SIGALRM'] as const)
      router.signal(signal)
    await eventually(() => router.logs().some(({ msg }) => String(msg).startsWith('configuration read')), {
      what: 'a word on SIGHUP',
    })
    assert.equal((await rawRequest({ port: router.apiPort, path: '/liveness' }).text()).status, 200)
    assert.equal(worker.requests[0]?.connection.closedAt, undefined)
    assert.doesNotMatch(router.stderr(), /debugger/i)
  })

  for (const processes of [1, 2]) {
    test(`ends at once with code 1 by the second order, with ${processes} process(es), however soon it comes`, {
      timeout,
    }, async (t) => {
      const worker = await startScriptedWorker([hang], { t })
      for (const gapMs of [0.5, 2]) {
        const router = await routerOver([worker], { t, args: ['--processes', String(processes)] })
        const stream = rawRequest({ port: router.apiPort, ...request })
        t.after(() => stream.abort())
        router.signal('SIGTERM')
        const until = performance.now() + gapMs
        while (performance.now() < until);
        router.signal('SIGTERM')
        // The kernel makes one of two signals that come before the process has had a turn.
        const merged = eventually(() => router.logs().some(({ msg }) => msg === 'draining'), {
          what: 'an end',
          withinMs: 10_000,
        }).then(() => router.signal('SIGTERM'))
        merged.catch(() => {})
        const exit = await within(10_000, router.exited, 'the end')
        assert.deepEqual({ code: exit.code, signal: exit.signal }, { code: 1, signal: null })
        for (const pid of processPids(router)) {
          await eventually(() => !runs(pid), { what: `the end of process ${pid}` })
        }
      }
    })
  }
})

test('an order to end that comes while it starts is kept', { timeout }, async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'router-'))
  t.after(() => rm(directory, { recursive: true }))
  const config = join(directory, 'router.config.mjs')
  // The configuration is read long before it listens.
  await writeFile(config, `process.kill(process.pid, 'SIGTERM')\nexport default {}\n`)
  const args = ['--config', config, '--port', '0', '--prometheus-port', '0', '--log-format', 'json']
  const child = spawn(process.execPath, ['app/main.ts', ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.after(() => child.kill('SIGKILL'))
  const exit = new Promise<number | null>((resolve) => child.once('exit', resolve))
  const said = await within(20_000, text(child.stdout), 'the end')
  assert.equal(await exit, 0)
  assert.match(said, /"draining"/)
})

test('a verb that waits is ended by the first signal', { timeout }, async (t) => {
  const mute = createServer().listen(0, '127.0.0.1')
  t.after(() => mute.close())
  await once(mute, 'listening')
  const { port } = mute.address() as AddressInfo
  const asked = once(mute, 'connection') as Promise<[Socket]>
  const child = spawn(process.execPath, ['app/main.ts', 'health', '--url', `http://127.0.0.1:${port}`])
  t.after(() => child.kill('SIGKILL'))
  const exit = new Promise<number | null>((resolve) => child.once('exit', resolve))
  const [socket] = await within(10_000, asked, 'a question')
  t.after(() => socket.destroy())
  child.kill('SIGTERM')
  assert.equal(await within(4000, exit, 'the end'), 143)
})

test('a runtime that is too old is told so in one line', () => {
  for (const versions of [{ node: '20.20.2' }, { node: '22.18.0' }, { bun: '1.4.1', node: '24.3.0' }])
    assert.match(
      runtimeTooOld(versions) ?? '',
      /^vllm-router needs Node 22\.19 or newer, .+: this is \w+ [\d.]+$/,
    )
  for (const versions of [
    { node: '22.19.0' },
    { node: '24.1.0' },
    { bun: '1.4.2', node: '18.0.0' },
    { bun: '2.0.0' },
  ])
    assert.equal(runtimeTooOld(versions), undefined)
})
