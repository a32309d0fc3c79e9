/** Who may ask the router, and which key the workers get to see. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { routerOver } from '../support/router-over.ts'
import type { RouterProcess } from '../support/router-process.ts'
import { type ScriptedWorker, startScriptedWorker } from '../support/scripted-worker.ts'
import { send } from '../support/send-all.ts'
import { shared } from '../support/shared.ts'

const timeout = 30_000
const json = { model: 'test-model', prompt: 'hi' }

interface Setup {
  readonly worker: ScriptedWorker
  readonly router: RouterProcess
}

const behind = (...args: string[]) =>
  shared(async (t) => {
    const worker = await startScriptedWorker(undefined, { t })
    // In the environment, as keys should be: everyone who can list processes sees the flags.
    const env = Object.fromEntries(args.map((arg) => arg.split('=') as [string, string]))
    return { worker, router: await routerOver([worker], { t, env }) }
  })

const workerKey = behind('VLLM_ROUTER_API_KEY=worker-key')
const routerKeys = behind('VLLM_ROUTER_ROUTER_API_KEYS=key-one,key-two')
const bothKeys = behind('VLLM_ROUTER_API_KEY=worker-key', 'VLLM_ROUTER_ROUTER_API_KEYS=key-one')

async function ask({ worker, router }: Setup, headers: Record<string, string>, path = '/v1/completions') {
  const before = worker.requests.length
  const { head, body } = await send(router.apiPort, { path, json, headers })
  const received = worker.requests[before]
  const keys = received?.headers.filter(([name]) => /^(authorization|x-api-key|api-key)$/i.test(name))
  return { status: head.status, text: body.bytes.toString(), keys, header: head.header }
}

describe('--api-key', () => {
  test('goes to the worker when the client sends no key, once', { timeout }, async () => {
    const { status, keys } = await ask(await workerKey(), {})
    assert.equal(status, 200)
    assert.deepEqual(
      keys?.map(([, value]) => value),
      ['Bearer worker-key'],
    )
  })

  test("gives way to the client's own", { timeout }, async () => {
    const { keys } = await ask(await workerKey(), { Authorization: 'Bearer of-the-client' })
    assert.deepEqual(
      keys?.map(([, value]) => value),
      ['Bearer of-the-client'],
    )
  })

  test('goes with the probes', { timeout }, async () => {
    const { worker } = await workerKey()
    for (const path of ['/health', '/v1/models']) {
      const probe = worker.probes.find((request) => request.path === path)
      assert.equal(probe?.header('authorization'), 'Bearer worker-key', path)
    }
  })

  test('without it, keys of clients pass as they are, and probes have none', { timeout }, async () => {
    const { worker, router } = await routerKeys()
    assert.ok(worker.probes.length > 0)
    assert.ok(worker.probes.every((probe) => probe.header('authorization') === undefined))
    assert.equal((await send(router.apiPort, { path: '/health' })).head.status, 200)
  })
})

describe('--router-api-keys', () => {
  test('let in who presents one of them, in either way, and keep it from the worker', {
    timeout,
  }, async () => {
    const setup = await routerKeys()
    for (const headers of [
      { authorization: 'Bearer key-one' },
      { authorization: 'bearer key-two' },
      { 'x-api-key': 'key-two' },
      { 'api-key': 'key-two' },
    ]) {
      const { status, keys } = await ask(setup, headers as Record<string, string>)
      assert.equal(status, 200)
      assert.deepEqual(keys, [])
    }
  })

  test('put the key of the workers in its place', { timeout }, async () => {
    const { status, keys } = await ask(await bothKeys(), { authorization: 'Bearer key-one' })
    assert.equal(status, 200)
    assert.deepEqual(
      keys?.map(([, value]) => value),
      ['Bearer worker-key'],
    )
  })

  test('keep out everyone else, without a word about keys', { timeout }, async () => {
    const setup = await routerKeys()
    for (const headers of [
      {},
      { authorization: 'Bearer wrong-key' },
      { authorization: 'Bearer key-one-and-more' },
      { authorization: 'Basic key-one' },
      { 'x-api-key': 'KEY-ONE' },
      { authorization: 'Bearer ' },
    ]) {
      const { status, text, keys } = await ask(setup, headers as Record<string, string>)
      assert.equal(status, 401)
      assert.equal(JSON.parse(text).error.code, 'invalid_api_key')
      assert.equal(JSON.parse(text).error.type, 'authentication_error')
      assert.doesNotMatch(text, /key-one|wrong-key/)
      assert.equal(keys, undefined)
    }
    const anthropic = await ask(setup, {}, '/v1/messages')
    assert.equal(anthropic.status, 401)
    assert.equal(JSON.parse(anthropic.text).type, 'error')
    assert.equal(JSON.parse(anthropic.text).error.type, 'authentication_error')
  })

  test('guard every route but the probes', { timeout }, async () => {
    const { router } = await routerKeys()
    for (const path of ['/v1/models', '/some/route', '/metrics', '/tokenize'])
      assert.equal((await send(router.apiPort, { path })).head.status, 401, path)
    for (const path of ['/health', '/liveness', '/readiness'])
      assert.equal((await send(router.apiPort, { path })).head.status, 200, path)
  })

  test('are in no log line, whatever was presented', { timeout }, async () => {
    const { router } = await bothKeys()
    await ask(await bothKeys(), { authorization: 'Bearer wrong-key' })
    await router.stop('SIGINT')
    const said = JSON.stringify(router.logs()) + router.stderr()
    assert.match(said, /invalid_api_key/)
    assert.doesNotMatch(said, /worker-key|key-one|wrong-key/)
  })
})
