/** What probes write on a worker beside its health, and what they ask of one that is removed, locked or stalled. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { settled } from '../../support/app-clock.ts'
import type { FakeAnswer } from '../../support/fake-client.ts'
import { requestFor } from '../../support/pool.ts'
import { probing, well } from '../../support/probing.ts'

const url = 'http://w:8000'

const metrics = [
  '# TYPE vllm:num_requests_running gauge',
  'vllm:num_requests_running{engine="0"} 5',
  'vllm:num_requests_waiting{engine="0"} 3',
  'vllm:generation_tokens_total{engine="0"} 40',
  'vllm:iteration_tokens_total_count{engine="0"} 2',
  'vllm:cache_config_info{block_size="16",num_gpu_blocks="100"} 1',
  '',
].join('\n')

const telling =
  (answer: FakeAnswer) =>
  (path: string): FakeAnswer =>
    path === '/metrics' ? answer : well(path)

describe('what a worker tells of its engine', () => {
  test('is kept for operators, and for a policy that reads it', async () => {
    const { add, clock, pool } = probing({ readsEngine: true })
    const worker = await add(url, telling({ status: 200, body: metrics }))
    const lease = pool.acquire(requestFor())
    await clock.pass(2000, 50)
    assert.deepEqual([worker.load?.running, worker.load?.waiting], [5, 3])
    assert.deepEqual(worker.engine, {
      at: 2000,
      own: 1,
      foreign: 7,
      foreignWaiting: 2,
      cacheQueries: undefined,
      cacheHits: undefined,
      cacheTokens: 1600,
    })
    lease?.settle('success')
  })

  test('is not kept for a policy that does not read it', async () => {
    const { add, clock, pool } = probing()
    const worker = await add(url, telling({ status: 200, body: metrics }))
    pool.acquire(requestFor())
    await clock.pass(3000, 50)
    assert.equal(worker.load?.running, 5)
    assert.equal(worker.engine, undefined)
  })

  test('is not taken from an error', async () => {
    const { add } = probing({ readsEngine: true })
    const worker = await add(url, telling({ status: 500, body: metrics }))
    assert.deepEqual([worker.load, worker.engine], [undefined, undefined])
  })

  for (const [what, answer, count] of [
    ['its counters in one number', { status: 200, body: metrics }, 42],
    ['nothing, when it has none', { status: 200, body: 'up 1\n' }, undefined],
    ['nothing, when it answers with an error', { status: 500, body: metrics }, undefined],
    ['nothing, when nobody listens', 'refused', undefined],
  ] satisfies (readonly [string, FakeAnswer, number | undefined])[]) {
    test(`gives a stream that waits ${what}`, async () => {
      const { add, prober } = probing()
      const worker = await add(url, telling(answer))
      assert.equal(await prober.pulse(worker), count)
    })
  }

  test('is not waited for longer than half a second by a stream', async () => {
    const { add, clock, prober } = probing()
    const worker = await add(url, telling('never'))
    const pulse = prober.pulse(worker)
    await clock.pass(500)
    assert.equal(await pulse, undefined)
  })
})

describe('a worker that is removed', () => {
  test('is probed as long as it has requests, so that those are let go when it dies', async () => {
    const { add, clock, client, pool, prober } = probing()
    const worker = await add(url)
    const lease = pool.acquire(requestFor())
    pool.remove(worker)
    prober.follow(pool)
    await clock.pass(10_000, 100)
    const probes = client.times(`${url}/health`).length
    assert.ok(probes >= 5)
    lease?.settle('success')
    await clock.pass(10_000, 100)
    assert.equal(client.times(`${url}/health`).length, probes + 1)
    assert.equal(clock.pending, 0)
  })
})

test('a probe that a request has asked for takes the place of the next one', async () => {
  const { add, clock, client, prober } = probing()
  const worker = await add(url)
  await clock.pass(1000)
  prober.probeSoon(worker)
  await settled()
  await clock.pass(4000, 50)
  assert.deepEqual(client.times(`${url}/health`), [0, 1000, 3000, 5000])
})

test('a worker is bad since the first bad probe, until a good one', async () => {
  const { add, client, clock } = probing()
  const worker = await add(url)
  assert.equal(worker.badSince, undefined)
  client.answer(url, () => 503)
  await clock.pass(7000, 50)
  assert.equal(worker.badSince, 2000)
  client.answer(url, well)
  await clock.pass(2000, 50)
  assert.equal(worker.badSince, undefined)
})

describe('a router that has no file descriptor left', () => {
  test('takes no worker for dead, and says what is wrong', async () => {
    const { add, client, clock } = probing()
    const worker = await add(url)
    client.answer(url, () => 'exhausted')
    await clock.pass(30_000, 100)
    assert.equal(worker.health.name, 'healthy')
    assert.match(worker.lastError?.message ?? '', /no file descriptor left/)
  })

  test('tells of a worker that has never been up all the same', async () => {
    const { add, reports } = probing()
    const worker = await add(url, () => 'exhausted')
    assert.equal(worker.health.name, 'starting')
    assert.deepEqual(reports, [`${url}: not up`])
  })

  test('tells nothing of one that was up', async () => {
    const { add, client, clock, reports } = probing()
    await add(url)
    client.answer(url, () => 'exhausted')
    await clock.pass(5000, 100)
    assert.deepEqual(reports, [`${url}: starting -> healthy`])
  })
})

test('a worker that does not come up is told of every ten minutes in the end', async () => {
  const { add, clock, reports } = probing({ checkIntervalMs: 10_000, intervalMs: 10_000 })
  await add(url, () => 'refused')
  await clock.pass(2 * 3600_000, 10_000)
  const before = reports.length
  await clock.pass(3600_000, 10_000)
  assert.equal(reports.length - before, 6)
})

describe('a worker that hides its models', () => {
  const locked = (path: string): FakeAnswer => (path === '/v1/models' ? 401 : 200)

  test('is told of once, serves, and is asked again every ten seconds', async () => {
    const { add, client, clock, reports } = probing()
    const worker = await add(url, locked)
    assert.deepEqual([worker.modelsLocked, worker.models], [true, undefined])
    await clock.pass(30_000, 100)
    assert.deepEqual(
      reports.filter((line) => line.includes('hides')),
      [`${url}: hides its models`],
    )
    assert.equal(worker.health.name, 'healthy')
    const asked = client.times(`${url}/v1/models`).length
    assert.ok(asked >= 3 && asked <= 5, String(asked))
  })

  test('is asked again for a model that it lacked', async () => {
    const { add, clock } = probing()
    const worker = await add(url, locked)
    worker.learnModel('lora', false)
    assert.equal(worker.unavailable('lora'), 'other_model')
    await clock.pass(12_000, 100)
    assert.equal(worker.unavailable('lora'), undefined)
  })
})

test('a worker that was idle for long is no stalled one when its next request takes its time', async () => {
  const { add, clock, pool } = probing()
  const worker = await add(url, telling({ status: 200, body: metrics }))
  const first = pool.acquire(requestFor())
  await clock.pass(15_000, 100)
  first?.settle('success')
  await clock.pass(600_000, 500)
  pool.acquire(requestFor())
  await clock.pass(60_000, 100)
  assert.equal(worker.health.name, 'healthy')
})

describe('a stalled worker whose requests have been let go', () => {
  async function stalled(completion: FakeAnswer) {
    const all = probing()
    const worker = await all.add(url, (path) => {
      if (path === '/v1/completions') return completion
      return telling({ status: 200, body: metrics })(path)
    })
    const lease = all.pool.acquire(requestFor())
    await all.until(worker, 'unhealthy', 140_000)
    lease?.settle('neutral')
    return { ...all, worker }
  }

  for (const [what, completion] of [
    ['fails at one token', 500],
    ['does not answer', 'never'],
    ['refuses', 'refused'],
  ] satisfies (readonly [string, FakeAnswer])[]) {
    test(`stays down while it ${what}`, async () => {
      const { worker, clock } = await stalled(completion)
      await clock.pass(60_000, 500)
      assert.equal(worker.health.name, 'unhealthy')
    })
  }

  for (const completion of [200, 404] as const) {
    test(`is up again when it answers ${completion} to one token, which is asked by its model’s name`, async () => {
      const { worker, until, client } = await stalled(completion)
      await until(worker, 'healthy', 20_000)
      const asked = client.sent.filter((one) => one.url === `${url}/v1/completions`)
      assert.equal(asked.length, 1, 'it has shown that it works')
      assert.equal(asked[0]?.method, 'POST')
      assert.deepEqual(asked[0]?.headers, [['content-type', 'application/json']])
      assert.deepEqual(JSON.parse(asked[0]?.body ?? ''), { model: 'a', prompt: '1', max_tokens: 1 })
    })
  }
})

test('a prober that stops while a busy worker tells its metrics judges nothing by them', async () => {
  for (const stops of [false, true]) {
    const { add, client, clock, pool, prober } = probing({ stallMs: 15_000 })
    const worker = await add(url, telling({ status: 200, body: metrics, afterMs: 100 }))
    pool.acquire(requestFor())
    while (client.times(`${url}/metrics`).length < 3) await clock.pass(50)
    assert.equal(worker.health.name, 'healthy')
    if (stops) prober.stop()
    await clock.pass(150, 50)
    assert.equal(worker.health.name, stops ? 'healthy' : 'unhealthy')
    prober.stop()
  }
})

test('a new configuration holds for each probe from its next step on, and what it does not name stays', async () => {
  const { add, client, clock, prober } = probing()
  await add(url)
  prober.reconfigure({ intervalMs: 500, headers: [['authorization', 'Bearer new']] })
  await clock.pass(4000, 50)
  assert.deepEqual(client.times(`${url}/health`), [0, 2000, 2500, 3000, 3500, 4000])
  assert.deepEqual(client.sent.at(-1)?.headers, [['authorization', 'Bearer new']])
  assert.deepEqual(client.sent[0]?.headers, [])
})
