/** Faults are set, limited and cleared in every way that is offered, and concern the whole server where they say so. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Fault } from '../../sim/fault.ts'
import { parseFault } from '../../sim/fault-parser.ts'
import { eventually, within } from '../support/deadline.ts'
import { openConnection, rawRequest } from '../support/raw-client.ts'
import { ending, json, path, sim } from '../support/sim-ending.ts'

async function status(port: number, where: string): Promise<number> {
  return (await within(5000, rawRequest({ port, path: where }).text(), where)).status
}

describe('status', () => {
  test('answers with status, body and Retry-After', async (t) => {
    const { port, setFault } = await sim(t)
    setFault({ kind: 'status', status: 503, body: { error: 'scaling' }, retryAfter: 7 })
    const exchange = rawRequest({ port, path, json })
    const { header } = await within(5000, exchange.head, 'the head')
    assert.equal(header('retry-after'), '7')
    assert.deepEqual(await exchange.text(), { status: 503, text: '{"error":"scaling"}' })
  })

  test('hits as many requests as told, only on its path, with its probability', async (t) => {
    const { port, setFault, clearFaults, faults } = await sim(t)
    const statuses = async (count: number) => {
      const all = []
      for (let i = 0; i < count; i++) all.push((await ending(port)).status)
      return all
    }
    setFault({ kind: 'status', status: 500, times: 2 })
    assert.deepEqual(await statuses(3), [500, 500, 200])
    setFault({ kind: 'status', status: 500, path: '/v1/completions' })
    assert.deepEqual(await statuses(1), [200])
    assert.equal(
      (await rawRequest({ port, path: '/v1/completions', json: { prompt: 'a' } }).text()).status,
      500,
    )
    setFault({ kind: 'status', status: 500, path: '/metrics' })
    assert.equal(await status(port, '/metrics'), 500)
    assert.equal(await status(port, '/health'), 200)
    await clearFaults()
    assert.deepEqual(faults(), [])
    setFault({ kind: 'status', status: 500, probability: 0.5 })
    const hits = (await statuses(40)).filter((one) => one === 500).length
    assert.ok(hits > 5 && hits < 35, `${hits} of 40`)
  })
})

describe('health', () => {
  test('answers with another status or later, while requests go on', async (t) => {
    const { port, setFault, clearFaults } = await sim(t)
    setFault('health-status:503')
    assert.equal(await status(port, '/health'), 503)
    assert.equal((await ending(port)).complete, true)
    await clearFaults()
    setFault('slow-health:60')
    const from = performance.now()
    assert.equal(await status(port, '/health'), 200)
    assert.ok(performance.now() - from >= 59)
  })
})

describe('the whole server', () => {
  const refused = async (port: number) => {
    const connection = openConnection({ port })
    await within(5000, connection.opened, 'an answer of the port').then(
      () => assert.fail('it still listens'),
      (error: NodeJS.ErrnoException) => assert.equal(error.code, 'ECONNREFUSED'),
    )
  }

  test('refuses connections, ends idle ones, finishes streams, and listens again on the same port', async (t) => {
    const server = await sim(t, { tokenMs: 10 })
    const { port } = server
    const idle = openConnection({ port })
    await idle.request({ path: '/health' }).text()
    const stream = rawRequest({ port, path, json: { ...json, max_tokens: 10 } })
    await within(5000, stream.firstEvents(2), 'the stream')
    server.setFault('refuse')
    await refused(port)
    await within(5000, idle.closed, 'the idle connection closes')
    assert.ok((await within(5000, stream.body, 'the stream')).complete)
    await server.clearFaults()
    assert.equal(await status(port, '/health'), 200)
    server.refuse()
    await refused(port)
    await server.listenAgain()
    assert.equal(await status(port, '/health'), 200)
    server.setFault('refuse:50')
    await refused(port)
    await eventually(() => status(port, '/health'), { what: 'it listens again by itself' })
    assert.deepEqual(server.faults(), [])
    server.setFault('refuse:0')
    await server.close()
    await server.listenAgain()
    await refused(port)
  })

  test('dies with everything it has, at once or at a point of a request, and can be revived', async (t) => {
    const server = await sim(t, { tokenMs: 5 })
    const { port } = server
    const bystander = rawRequest({ port, path, json: { ...json, max_tokens: 10_000 } })
    await within(5000, bystander.firstEvents(2), 'a stream')
    const fatal = await ending(port, json, { 'x-sim-fault': 'die:after-tokens:2' })
    assert.deepEqual([fatal.complete, fatal.data.length], [false, 3])
    assert.equal((await within(5000, bystander.body, 'its end')).complete, false)
    await refused(port)
    assert.deepEqual([server.stats().running, server.stats().faulted], [0, 2])
    await server.listenAgain()
    assert.equal((await ending(port)).complete, true)
    server.setFault('die')
    await eventually(() => refused(port).then(() => true), { what: 'it is dead' })
  })
})

describe('faults over HTTP', () => {
  test('are set, listed and cleared at /sim/fault', async (t) => {
    const server = await sim(t)
    const { port } = server
    const send = (method: string, body?: string) =>
      within(5000, rawRequest({ port, method, path: '/sim/fault', ...(body && { body }) }).text(), method)
    assert.equal((await send('POST', '{"kind":"status","status":418,"times":1}')).status, 200)
    assert.equal((await ending(port)).status, 418)
    assert.equal((await ending(port)).status, 200)
    await send('POST', 'hang:after-head')
    assert.deepEqual(JSON.parse((await send('GET')).text), { faults: [{ kind: 'hang', at: 'after-head' }] })
    assert.equal((await send('POST', 'nonsense')).status, 400)
    assert.deepEqual(JSON.parse((await send('DELETE')).text), { faults: [] })
    const stats = JSON.parse((await rawRequest({ port, path: '/sim/stats' }).text()).text)
    assert.deepEqual([stats.received, stats.completed, stats.faulted], [2, 1, 1])
    await send('POST', 'refuse:50')
    await eventually(() => status(port, '/health'), { what: 'it listens again' })
  })

  test('per request hit only that request; a wrong one is 400', async (t) => {
    const { port } = await sim(t)
    assert.equal((await ending(port, json, { 'x-sim-fault': 'status:529' })).status, 529)
    assert.equal((await ending(port, json, { 'x-sim-fault': '{"kind":"status","status":500}' })).status, 500)
    assert.equal((await ending(port)).status, 200)
    assert.equal(
      (await ending(port, json, { 'x-sim-fault': '{"kind":"reset","probability":0}' })).status,
      200,
    )
    for (const [fault, reason] of [
      ['explode', /unknown kind/],
      ['refuse', /concerns the whole server/],
    ] as const) {
      const wrong = await ending(port, json, { 'x-sim-fault': fault })
      assert.equal(wrong.status, 400)
      assert.match(wrong.text, reason)
    }
  })
})

test('fault names are read as written and refused with a reason', () => {
  const cases: [string, Fault][] = [
    ['reset', { kind: 'reset' }],
    ['close:after-head', { kind: 'close', at: 'after-head' }],
    ['hang:after-tokens:3', { kind: 'hang', at: 'after-tokens', tokens: 3 }],
    ['status:503', { kind: 'status', status: 503 }],
    ['error-event:2', { kind: 'error-event', tokens: 2 }],
    ['refuse:10', { kind: 'refuse', ms: 10 }],
    [' {"kind":"no-done","times":2} ', { kind: 'no-done', times: 2 }],
  ]
  for (const [text, fault] of cases) assert.deepEqual(parseFault(text), fault)
  const wrong: [string, RegExp][] = [
    ['', /unknown kind ""/],
    ['status', /status needs status/],
    ['status:999', /status must be a number from 200 to 599/],
    ['slow-health', /slow-health needs ms/],
    ['reset:nowhere', /unknown point "nowhere"/],
    ['reset:after-tokens:x', /tokens must be a number/],
    ['{"kind":"reset"', /not valid JSON/],
    ['{"kind":"reset","probability":2}', /probability must be a number from 0 to 1, got 2/],
  ]
  for (const [text, reason] of wrong) assert.throws(() => parseFault(text), reason)
})
