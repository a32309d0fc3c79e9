/** Tenants and classes at the limit of requests in flight: whose turn it is, and who is turned away; in one process and in two. */

import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import type { DryRun } from '../../app/request/dry-run.ts'
import { eventually, within } from '../support/deadline.ts'
import { openConnection, rawRequest } from '../support/raw-client.ts'
import { routerOver } from '../support/router-over.ts'
import type { Scope } from '../support/scope.ts'
import { startScriptedWorker } from '../support/scripted-worker.ts'
import { answer, type Step, until, wait } from '../support/wire.ts'

const timeout = 40_000
const path = '/v1/completions'

/** Tenants by a header, as keys will tell them. */
const configuration = `
const tenants = {
  a: { name: 'a', priority: 'normal', weight: 1, limits: {} },
  b: { name: 'b', priority: 'normal', weight: 1, limits: {} },
  c: { name: 'c', priority: 'normal', weight: 1, limits: {} },
  chat: { name: 'chat', priority: 'high', weight: 1, limits: {} },
  batch: { name: 'batch', priority: 'low', weight: 1, limits: {} },
}
export default {
  middleware: [{
    position: 'before',
    middleware: async (c, next) => {
      c.set('tenant', tenants[c.req.header('x-tenant')])
      await next()
    },
  }],
}`

async function routerOf(
  t: Scope,
  script: Parameters<typeof startScriptedWorker>[0],
  args: readonly string[],
) {
  const folder = await mkdtemp(join(tmpdir(), 'router-'))
  t.after(() => rm(folder, { recursive: true }))
  const config = join(folder, 'router.config.mjs')
  await writeFile(config, configuration)
  const worker = await startScriptedWorker(script, { t })
  const router = await routerOver([worker], { t, args: ['--config', config, ...args] })
  return { worker, router }
}

const json = { model: 'test-model', prompt: 'hi' }
const chat = { model: 'test-model', messages: [{ role: 'user', content: 'hi' }] }

test('three tenants of which one has ten times as many clients are served alike', {
  timeout,
}, async (t) => {
  const served: string[] = []
  const script = (request: { header(name: string): string | undefined }): Step[] => {
    served.push(request.header('x-tenant') ?? '')
    return [wait(8), ...answer(200, '{}')]
  }
  const args = ['--max-concurrent-requests', '6', '--queue-size', '200']
  const { router } = await routerOf(t, script, args)
  const total = 500
  const client = async (tenant: string): Promise<void> => {
    const connection = openConnection({ port: router.apiPort })
    const headers = { 'x-tenant': tenant }
    while (served.length < total) await connection.request({ path, headers, json }).body
    connection.abort()
  }
  // A tenant has its share only while somebody of it waits: more clients than a slow machine keeps busy otherwise.
  const clients = [120, 12, 12].flatMap((count, index) =>
    Array.from({ length: count }, () => client(['a', 'b', 'c'][index]!)),
  )
  await within(30_000, Promise.all(clients), 'the end of all clients')
  const counted = served.slice(100, total)
  for (const tenant of ['a', 'b', 'c']) {
    const share = counted.filter((one) => one === tenant).length / counted.length
    assert.ok(Math.abs(share - 1 / 3) <= 1 / 30, `${tenant} got ${share}`)
  }
  assert.equal(await router.metric('vllm_router_queue_class_depth', { class: 'normal' }), 0)
})

for (const processes of ['1', '2']) {
  describe(`with --processes ${processes}`, () => {
    test('classes go in order, a header lowers and never raises, and a full queue sheds the lowest', {
      timeout,
    }, async (t) => {
      const gate = Promise.withResolvers<void>()
      const order: string[] = []
      const script = (request: { header(name: string): string | undefined }): Step[] => {
        order.push(request.header('x-request-id') ?? '')
        return [until(gate.promise), ...answer(200, '{}')]
      }
      const args = ['--processes', processes, '--max-concurrent-requests', '1', '--queue-size', '6']
      const { router } = await routerOf(t, script, args)
      const ask = (id: string, tenant: string, more: Record<string, string> = {}) => {
        const headers = { 'x-request-id': id, 'x-tenant': tenant, ...more }
        return rawRequest({ port: router.apiPort, path, json, headers })
      }
      const depth = (count: number, name: string, labels: Record<string, string> = {}) =>
        eventually(async () => (await router.metric(`vllm_router_${name}`, labels)) === count, {
          what: `${name} ${JSON.stringify(labels)} is ${count}`,
        })
      const all = [ask('running', 'a')]
      await eventually(() => order.length === 1, { what: 'the first at the worker' })
      const waiting = [
        ['batch-as-high', 'batch', { 'x-priority': 'high' }],
        ['a1', 'a', {}],
        ['a2', 'a', {}],
        ['b1', 'b', {}],
        ['chat-as-low', 'chat', { 'x-priority': 'low' }],
        ['chat', 'chat', {}],
      ] as const
      for (const [index, [id, tenant, headers]] of waiting.entries()) {
        all.push(ask(id, tenant, headers))
        await depth(index + 1, 'queue_depth')
      }
      await depth(2, 'queue_class_depth', { class: 'low' })
      const dryRun = async (headers: Record<string, string>) => {
        const asked = rawRequest({ port: router.operationsPort, path: '/debug/route', json: chat, headers })
        const { outcome, refused, limits } = JSON.parse((await asked.text()).text) as DryRun
        return [outcome, refused?.code, limits.priority, limits.waiting]
      }
      assert.deepEqual(await dryRun({}), ['waits', undefined, 'normal', 6])
      assert.deepEqual(await dryRun({ 'x-priority': 'low' }), ['refused', 'queue_full', 'low', 6])
      all.push(ask('late-high', 'chat'))
      const shed = await within(5000, all[5]!.text(), 'the newest of the lowest class is turned away')
      assert.equal(shed.status, 429)
      assert.match(shed.text, /"code":"queue_full"/)
      assert.ok(Number((await all[5]!.head).header('retry-after')) >= 1)
      assert.equal(await router.metric('vllm_router_queue_shed_total', { class: 'low' }), 1)
      assert.equal(await router.metric('vllm_router_rejected_total', { reason: 'shed' }), 1)
      gate.resolve()
      const answers = await within(10_000, Promise.all(all.map((one) => one.text())), 'all answers')
      assert.equal(answers.filter(({ status }) => status === 200).length, 7)
      assert.deepEqual(order, [...['running', 'chat', 'late-high', 'a1', 'b1', 'a2'], 'batch-as-high'])
      const waits = (name: string) =>
        router.metric('vllm_router_queue_class_wait_seconds_count', { class: name })
      assert.deepEqual([await waits('high'), await waits('normal'), await waits('low')], [2, 3, 1])
    })
  })
}

describe('with --slots-for-high-priority', () => {
  for (const processes of ['1', '2'])
    test(`a burst of others leaves the high class its slots, with --processes ${processes}`, {
      timeout,
    }, async (t) => {
      const gate = Promise.withResolvers<void>()
      const order: string[] = []
      const script = (request: { header(name: string): string | undefined }): Step[] => {
        order.push(request.header('x-tenant') ?? '')
        return [until(gate.promise), ...answer(200, '{}')]
      }
      const args = [
        '--processes',
        processes,
        '--max-concurrent-requests',
        '5',
        '--slots-for-high-priority',
        '2',
      ]
      const { router } = await routerOf(t, script, args)
      const ask = (tenant: string) =>
        rawRequest({ port: router.apiPort, path, json, headers: { 'x-tenant': tenant } })
      const arrived = (count: number) =>
        eventually(() => order.length === count, {
          what: `${count} at the worker, there are ${order.length}`,
        })
      const waiting = (count: number) =>
        eventually(async () => (await router.metric('vllm_router_queue_depth')) === count, {
          what: `${count} in the queue`,
        })
      const all = ['batch', 'a', 'batch', 'batch', 'a', 'nobody'].map(ask)
      await arrived(3)
      await waiting(3)
      for (const count of [4, 5]) {
        all.push(ask('chat'))
        await arrived(count)
      }
      assert.deepEqual(order.slice(3), ['chat', 'chat'])
      all.push(ask('chat'))
      await waiting(4)
      const asked = rawRequest({ port: router.operationsPort, path: '/debug/route', json: chat })
      const { limits } = JSON.parse((await asked.text()).text) as DryRun
      assert.deepEqual([limits.max_in_flight, limits.kept_for_high, limits.in_flight], [5, 2, 5])
      gate.resolve()
      const answers = await within(10_000, Promise.all(all.map((one) => one.text())), 'all answers')
      assert.ok(answers.every(({ status }) => status === 200))
      // All five slots are free at once: what two processes then send comes to the worker in any order.
      if (processes === '1') assert.equal(order[5], 'chat')
    })
})

describe('with --engine-priority', () => {
  test('workers are told the class, and a client of its own may only be later', { timeout }, async (t) => {
    const { worker, router } = await routerOf(t, undefined, ['--engine-priority'])
    const sent = async (tenant: string, body: string, at = path): Promise<string> => {
      const headers = { 'x-tenant': tenant, 'content-type': 'application/json' }
      const exchange = rawRequest({ port: router.apiPort, method: 'POST', path: at, headers, body })
      const { status, text } = await within(5000, exchange.text(), 'an answer')
      assert.equal(status, 200, text)
      return worker.requests.at(-1)!.body.toString()
    }
    const begin = '{ "model":"test-model",\n"prompt":"\\"priority\\":1}" '
    for (const [tenant, own, expected] of [
      ['a', '', ''],
      ['nobody', '', ''],
      ['chat', '', ',"priority":-100'],
      ['batch', '', ',"priority":100'],
      ['batch', ', "priority" : 5', ', "priority" : 100'],
      ['batch', ', "priority" : 500 ', ', "priority" : 500 '],
      ['a', ',"priority":-1', ',"priority":0'],
      ['a', ',"priority":7', ',"priority":7'],
      ['a', ',"priority":"-7"', ',"priority":0'],
      ['a', ',"priority":null', ',"priority":0'],
      ['chat', ',"priority":-1e9', ',"priority":-100'],
      ['chat', ',"priority":3', ',"priority":3'],
    ] as const)
      assert.equal(await sent(tenant, `${begin}${own}}\n`), `${begin}${expected}}\n`, `${tenant} ${own}`)
    const messages = '{"model":"test-model","max_tokens":1,"messages":[{"role":"user","content":"hi"}]}'
    assert.equal(await sent('chat', messages, '/v1/messages'), messages, 'vLLM has no priority there')
    const headers = { 'x-tenant': 'a', 'content-type': 'application/json' }
    const odd = rawRequest({
      ...{ port: router.apiPort, method: 'POST', path, headers },
      body: '{"model":"test-model","prompt":"hi","priority":[-1]}',
    })
    const { status, text } = await within(5000, odd.text(), 'an answer')
    assert.deepEqual([status, JSON.parse(text).error.param], [400, 'priority'])
  })

  test('nothing is told where the fleet is not said to have priorities', { timeout }, async (t) => {
    const { worker, router } = await routerOf(t, undefined, [])
    const body = { ...json, priority: -5 }
    const exchange = rawRequest({ port: router.apiPort, path, headers: { 'x-tenant': 'chat' }, json: body })
    assert.equal((await within(5000, exchange.text(), 'an answer')).status, 200)
    assert.equal(worker.requests.at(-1)!.body.toString(), JSON.stringify(body))
  })
})
