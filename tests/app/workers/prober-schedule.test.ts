/** When probes are sent, what else they find out, and that nothing is left when they stop. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { settled } from '../../support/app-clock.ts'
import type { FakeAnswer } from '../../support/fake-client.ts'
import { requestFor } from '../../support/pool.ts'
import { modelList, probing, well } from '../../support/probing.ts'

const url = 'http://w:8000'

function gaps(times: readonly number[]): number[] {
  return times.slice(1).map((at, index) => at - (times[index] ?? 0))
}

describe('probes', () => {
  for (const chance of [0, 0.25, 0.999999]) {
    test(`come every two seconds, give or take a tenth (chance ${chance})`, async () => {
      const { add, clock, client } = probing({ random: () => chance })
      await add(url)
      await clock.pass(30_000, 10)
      const exact = 2000 * (0.9 + 0.2 * chance)
      const all = gaps(client.times(`${url}/health`))
      assert.ok(all.length > 10)
      for (const gap of all) assert.ok(Math.abs(gap - exact) <= 10 && gap >= 1800 && gap <= 2210, `${gap}`)
    })
  }

  test('come every second to a worker that is not up', async () => {
    const { add, clock, client } = probing()
    await add(url, () => 'refused')
    await clock.pass(20_000, 50)
    for (const gap of gaps(client.times(`${url}/health`))) assert.equal(gap, 1000)
  })

  test('never come more seldom to a worker that is not up than to one that is', async () => {
    const { add, clock, client } = probing({ intervalMs: 500, checkIntervalMs: 10_000 })
    await add(url, () => 'refused')
    await clock.pass(10_000, 50)
    for (const gap of gaps(client.times(`${url}/health`))) assert.equal(gap, 500)
  })

  test('of one worker are not delayed by another that does not answer', async () => {
    const { add, clock, client } = probing()
    await add('http://slow:1', () => 'never')
    const quick = await add('http://quick:1')
    assert.equal(quick.health.name, 'healthy')
    await clock.pass(20_000, 50)
    for (const gap of gaps(client.times('http://quick:1/health'))) assert.equal(gap, 2000)
    // Each of its probes takes five seconds and one of rest.
    for (const gap of gaps(client.times('http://slow:1/health'))) assert.equal(gap, 6000)
  })

  test('are sent to a worker that has just joined, and no longer to one that has left', async () => {
    const { add, clock, client, pool, prober } = probing()
    const one = await add('http://one:1')
    await add('http://two:1')
    assert.equal(client.times('http://two:1/health').length, 1)
    assert.equal(client.times('http://one:1/health').length, 1, 'the others keep their turn')
    pool.remove(one)
    prober.follow(pool)
    await clock.pass(10_000, 100)
    assert.equal(client.times('http://one:1/health').length, 1)
    assert.ok(client.times('http://two:1/health').length > 4)
  })
})

describe('after it has stopped', () => {
  test('a prober sends nothing more and leaves no timer', async () => {
    const { add, clock, client, prober } = probing()
    const worker = await add('http://one:1')
    await add('http://two:1', () => 'refused')
    prober.stop()
    assert.equal(clock.pending, 0)
    prober.probeSoon(worker)
    await clock.pass(10_000, 100)
    assert.equal(client.sent.filter(({ at }) => at > 0).length, 0)
  })

  for (const [what, slow] of [
    ['health', '/health'],
    ['models', '/v1/models'],
  ]) {
    test(`a prober finds nothing more, even if it was just asking for ${what}`, async () => {
      const { add, clock, client, prober, reports } = probing({ readsEngine: true })
      const worker = await add(url, (path) =>
        path === slow ? { status: 200, body: '{"data":[]}', afterMs: 1000 } : well(path),
      )
      assert.equal(worker.health.name, 'starting')
      prober.stop()
      await clock.pass(20_000, 100)
      assert.equal(worker.health.name, 'starting')
      assert.deepEqual(reports, [])
      assert.equal(client.times(`${url}/health`).length, 1)
      assert.equal(client.times(`${url}/metrics`).length, 0)
      assert.equal(clock.pending, 0)
    })
  }
})

describe('the list of models', () => {
  test('is asked for again every ten seconds', async () => {
    const { add, clock, client } = probing()
    const worker = await add(url)
    client.answer(url, (path) => (path === '/v1/models' ? modelList('a', 'lora') : 200))
    await clock.pass(9000, 100)
    assert.deepEqual([...(worker.models ?? [])], ['a'])
    await clock.pass(3000, 100)
    assert.deepEqual([...(worker.models ?? [])], ['a', 'lora'])
    await clock.pass(48_000, 100)
    // With every fifth probe, each two seconds after the one before.
    for (const gap of gaps(client.times(`${url}/v1/models`))) assert.equal(gap, 10_000)
  })

  for (const [what, answer] of [
    ['an error', 500],
    ['no list', { status: 200, body: '{"object":"list"}' }],
    ['no JSON', { status: 200, body: '<html>' }],
    ['null', { status: 200, body: 'null' }],
    ['a reset', 'reset'],
    ['silence', 'never'],
  ] satisfies (readonly [string, FakeAnswer])[]) {
    test(`is kept when the worker answers with ${what}, and the worker stays healthy`, async () => {
      const { add, clock, client } = probing()
      const worker = await add(url)
      client.answer(url, (path) => (path === '/v1/models' ? answer : 200))
      await clock.pass(40_000, 100)
      assert.deepEqual([...(worker.models ?? [])], ['a'])
      assert.deepEqual(worker.modelEntries, [{ id: 'a', object: 'model', owned_by: 'vllm' }])
      assert.equal(worker.health.name, 'healthy')
    })
  }

  test('may be empty, and leaves out what has no name', async () => {
    const { add } = probing()
    const body = '{"data":[{"id":"a"},{"id":7},null,{"root":"x"}]}'
    const worker = await add(url, (path) => (path === '/v1/models' ? { status: 200, body } : 200))
    assert.deepEqual([...(worker.models ?? [])], ['a'])
  })

  test('that a worker does not have leaves it open what it serves', async () => {
    const { add } = probing()
    const worker = await add(url, (path) => (path === '/v1/models' ? 404 : 200))
    assert.equal(worker.health.name, 'healthy')
    assert.equal(worker.models, undefined)
  })
})

describe('a worker whose engine hangs', () => {
  const metrics = (count: number) =>
    `# TYPE vllm:iteration_tokens_total histogram\nvllm:iteration_tokens_total_count{engine="0"} ${count}\n` +
    `vllm:iteration_tokens_total_count{engine="1"} ${count}\nvllm:generation_tokens_total{engine="0"} 5\n`

  async function busy(text: () => string) {
    const all = probing()
    const worker = await all.add(url, (path) =>
      path === '/metrics' ? { status: 200, body: text() } : well(path),
    )
    const lease = all.pool.acquire(requestFor())
    assert.ok(lease !== undefined)
    return { ...all, worker, lease }
  }

  test('is down when its requests make no progress for two minutes, and stays down', async () => {
    const { worker, clock } = await busy(() => metrics(7))
    await clock.pass(119_000, 500)
    assert.equal(worker.health.name, 'healthy')
    await clock.pass(15_000, 500)
    assert.deepEqual(worker.health, {
      name: 'unhealthy',
      reason: 'requests make no progress',
      cause: 'stalled',
    })
    for (let second = 0; second < 60; second++) {
      await clock.pass(1000, 500)
      assert.equal(worker.health.name, 'unhealthy', `after ${second} s`)
    }
  })

  test('is up again when there is progress, or nothing left to make progress on', async () => {
    for (const recover of ['progress', 'nothing']) {
      let count = 7
      const { worker, lease, clock, until } = await busy(() => metrics(count))
      await until(worker, 'unhealthy', 140_000)
      if (recover === 'progress') count += 1
      else lease.settle('neutral')
      await until(worker, 'healthy', 15_000)
      await clock.pass(10_000, 500)
      assert.equal(worker.health.name, 'healthy')
    }
  })

  test('is not one that is idle, makes progress, or does not say', async () => {
    let count = 0
    for (const [text, inFlight] of [
      [() => metrics(7), 0],
      [() => metrics(count++), 1],
      [() => 'vllm:num_requests_running 3\n', 1],
    ] as const) {
      const { worker, lease, clock } = await busy(text)
      if (inFlight === 0) lease.settle('neutral')
      await clock.pass(200_000, 500)
      await settled()
      assert.equal(worker.health.name, 'healthy')
    }
  })
})
