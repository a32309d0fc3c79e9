/** What viewers of the page are sent: bounded whatever they do, and nothing while there are none. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { exampleWorker } from '../../../app/operations/description/examples.ts'
import { FleetFeed } from '../../../app/operations/fleet-feed.ts'
import type { RouterControl } from '../../../app/operations/router-control.ts'
import type { RequestView } from '../../../app/request/request-view.ts'
import type { Figures } from '../../../app/telemetry/figures.ts'
import type { ByteSource } from '../../../app/upstream/http-client.ts'
import type { WorkerState } from '../../../app/workers/worker-state.ts'
import { AppClock, settled } from '../../support/app-clock.ts'
import { within } from '../../support/deadline.ts'
import { PullingClient } from '../../support/pulling-client.ts'

function worker(id: string, more: Partial<WorkerState> = {}): WorkerState {
  return {
    ...exampleWorker,
    id,
    url: `http://${id}:8000`,
    in_flight: 0,
    load: null,
    ...more,
  }
}

const request = (request_id: string, end_reason = 'completed') =>
  ({ request_id, at: '2026-01-01T00:00:00.000Z', end_reason }) as RequestView

/** A router that is what the test says, and counts how often it is asked. */
function setup() {
  const clock = new AppClock()
  const router = {
    asked: 0,
    workers: [worker('a'), worker('b')] as WorkerState[],
    requests: [] as RequestView[],
    retries: 0,
    fails: false,
  }
  const control = {
    vitals: async () => {
      router.asked += 1
      if (router.fails) throw new Error('nobody <there>')
      return { draining: false, total: router.workers.length, available: 1, workers: [] }
    },
    workers: async () => router.workers,
    requests: async () => router.requests,
    settings: async () => ({ settings: { port: '1' }, last_reload: null }),
  } as unknown as RouterControl
  const figures = async (): Promise<Figures> => ({
    requests: {},
    errors: {},
    retries: router.retries,
    tokens: {},
    queued: 0,
    first_token: { bounds: [], counts: [] },
  })
  return { clock, router, feed: new FleetFeed({ control, figures, clock }) }
}

interface Read {
  readonly type: string
  // biome-ignore lint/suspicious/noExplicitAny: what was sent, to be looked at field by field
  readonly data: any
}

const clients = new WeakMap<ByteSource, PullingClient>()

/** A source flows to one client. */
function clientOf(source: ByteSource | undefined): PullingClient {
  assert.ok(source !== undefined)
  const client = clients.get(source) ?? new PullingClient(source)
  clients.set(source, client)
  return client
}

async function read(source: ByteSource | undefined): Promise<Read> {
  const bytes = await within(1000, clientOf(source).read(), 'an event')
  const text = new TextDecoder().decode(bytes)
  const [, type = 'message', data = ''] = /^(?:event: (\w+)\n)?data: (.*)\n\n$/s.exec(text) ?? []
  return { type, data: JSON.parse(data) }
}

test('the first event holds everything, the ones after it what has changed', async () => {
  const { clock, router, feed } = setup()
  router.requests = [request('r1', 'running')]
  const viewer = feed.watch()
  const first = (await read(viewer)).data
  assert.deepEqual(first.order, ['a', 'b'])
  assert.deepEqual(
    first.workers.map(({ id }: WorkerState) => id),
    ['a', 'b'],
  )
  assert.deepEqual(first.in_flight, { a: [0], b: [0] })
  assert.deepEqual(first.config.settings, { port: '1' })
  assert.deepEqual(
    first.requests.map(({ request_id }: RequestView) => request_id),
    ['r1'],
  )
  router.workers = [worker('a'), worker('b', { in_flight: 3 })]
  router.requests = [request('r2'), request('r1')]
  router.retries = 5
  await clock.pass(1000)
  const second = (await read(viewer)).data
  assert.deepEqual([second.order, second.config, second.in_flight], [undefined, undefined, undefined])
  assert.deepEqual(second.workers, [router.workers[1]])
  assert.deepEqual(second.requests, router.requests)
  assert.deepEqual([second.figures.retries, second.points.length, second.points[0].retries], [5, 1, 5])
  await clock.pass(1000)
  const third = (await read(viewer)).data
  assert.deepEqual([third.workers, third.requests], [undefined, undefined])
  feed.close()
})

test('the age of a load is no change', async () => {
  const { clock, router, feed } = setup()
  const load = { at: '2026-01-01T00:00:00.000Z', running: 1, waiting: 0, kv_cache_usage: 0.5 }
  router.workers = [worker('a', { load: { ...load, age_seconds: 1 } })]
  const viewer = feed.watch()
  assert.deepEqual((await read(viewer)).data.workers[0].load, load)
  router.workers = [worker('a', { load: { ...load, age_seconds: 2 } })]
  await clock.pass(1000)
  assert.equal((await read(viewer)).data.workers, undefined)
  feed.close()
})

test('a viewer that reads slowly gets one event with all that it has missed, and nothing is kept for it', async () => {
  const { clock, router, feed } = setup()
  const slow = feed.watch()
  await read(slow)
  for (let round = 0; round < 1000; round++) {
    router.workers = [worker('a', { in_flight: round }), worker('b')]
    router.requests = [request(`r${round}`)]
    await clock.pass(1000)
  }
  const missed = (await read(slow)).data
  assert.deepEqual(
    missed.workers.map(({ in_flight }: WorkerState) => in_flight),
    [999],
  )
  assert.deepEqual(
    missed.requests.map(({ request_id }: RequestView) => request_id),
    ['r999'],
  )
  assert.equal(missed.points.length, 300, 'five minutes, not more')
  await clock.pass(1000)
  assert.equal((await read(slow)).data.points.length, 1)
  const fresh = (await read(feed.watch())).data
  assert.deepEqual([fresh.points.length, fresh.in_flight.a.length], [300, 60])
  feed.close()
})

test('the router is asked once a second for all viewers, and no more a minute after the last has left', async () => {
  const { clock, router, feed } = setup()
  await clock.pass(5000, 1000)
  assert.equal(router.asked, 0, 'nobody watches')
  const viewers = [feed.watch(), feed.watch(), feed.watch()]
  await settled()
  await clock.pass(10_000, 1000)
  assert.equal(router.asked, 11)
  for (const viewer of viewers) viewer?.cancel()
  assert.equal(feed.viewers, 0)
  await clock.pass(200_000, 1000)
  assert.equal(router.asked, 11 + 61)
  assert.equal(clock.pending, 0)
  const later = feed.watch()
  const { data } = await read(later)
  assert.deepEqual([router.asked, data.points], [11 + 62, []], 'asked anew, and nothing of the time before')
  feed.close()
})

test('one who comes back within a minute finds the points of the time before', async () => {
  const { clock, feed } = setup()
  const first = feed.watch()
  await settled()
  await clock.pass(20_000, 1000)
  first?.cancel()
  await clock.pass(30_000, 1000)
  assert.ok((await read(feed.watch())).data.points.length >= 48)
  feed.close()
})

test('there is room for so many viewers, and again when they have left', async () => {
  const { feed } = setup()
  const viewers = Array.from({ length: 50 }, () => feed.watch())
  assert.ok(!viewers.includes(undefined))
  assert.equal(feed.watch(), undefined)
  viewers[0]?.cancel()
  assert.ok(feed.watch() !== undefined)
  feed.close()
  assert.equal(feed.watch(), undefined, 'the router is about to end')
})

test('where the router cannot be asked, the viewers are told once a second why, and then get what they missed', async () => {
  const { clock, router, feed } = setup()
  const viewer = feed.watch()
  await read(viewer)
  router.fails = true
  for (let round = 0; round < 2; round++) {
    await clock.pass(1000)
    assert.deepEqual(await read(viewer), { type: 'trouble', data: 'nobody <there>' })
  }
  router.fails = false
  router.workers = [worker('a', { in_flight: 1 }), worker('b')]
  await clock.pass(1000)
  const { type, data } = await read(viewer)
  assert.deepEqual([type, data.workers.length], ['message', 1])
  feed.close()
})

test('viewers whose key is valid no more are let go, and so are all at the end', async () => {
  const { feed } = setup()
  const viewer = feed.watch()
  await read(viewer)
  const waiting = clientOf(viewer).read()
  feed.disconnect()
  assert.equal(await within(1000, waiting, 'the end'), undefined)
  assert.equal(feed.viewers, 0)
  const another = feed.watch()
  feed.close()
  assert.equal(await within(1000, clientOf(another).read(), 'the end'), undefined)
})
