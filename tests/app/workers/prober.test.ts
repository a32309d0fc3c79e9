/** What probes make of a worker: when it is up, when it is down, when it is up again. By a clock turned by hand. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Breaker } from '../../../policies/resilience/breaker.ts'
import { settled } from '../../support/app-clock.ts'
import type { FakeAnswer } from '../../support/fake-client.ts'
import { requestFor } from '../../support/pool.ts'
import { probing, well } from '../../support/probing.ts'

const url = 'http://w:8000'

describe('a new worker', () => {
  test('is healthy with its first good probe', async () => {
    const { add, reports } = probing()
    const worker = await add(url)
    assert.equal(worker.health.name, 'healthy')
    assert.deepEqual([...(worker.models ?? [])], ['a'])
    assert.deepEqual(reports, [`${url}: starting -> healthy`])
  })

  test('that loads its weights is asked often, and stays a starting one whatever it answers', async () => {
    const { add, clock, client, reports, until } = probing()
    const answers: FakeAnswer[] = ['refused', 503, 'reset', { status: 200, body: '', afterMs: 6000 }]
    const worker = await add(url, () => answers.shift() ?? 'refused')
    await clock.pass(30_000, 50)
    assert.equal(worker.health.name, 'starting')
    assert.deepEqual([...new Set(reports)], [`${url}: not up`])
    client.answer(url, well)
    assert.ok((await until(worker, 'healthy', 2000)) <= 1000)
  })

  test('that does not come up is told of at once, then at growing pauses, and is asked further', async () => {
    const { add, clock, client, reports, until } = probing()
    const worker = await add(url, () => 'refused')
    assert.deepEqual(reports, [`${url}: not up`])
    const startedAt = clock.now()
    for (const [seconds, words] of [
      [9, 1],
      [12, 2],
      [28, 2],
      [34, 3],
      [65, 3],
      [78, 4],
    ] as const) {
      await clock.pass(startedAt + seconds * 1000 - clock.now(), 500)
      assert.equal(reports.length, words, `after ${seconds} s`)
    }
    reports.splice(1)
    assert.equal(worker.lastError?.message, 'probe: ECONNREFUSED')
    client.answer(url, well)
    await until(worker, 'healthy', 2000)
    assert.deepEqual(reports.slice(1), [`${url}: starting -> healthy`])
  })

  test('is asked where its URL says, with the key', async () => {
    const { add, client } = probing({ path: '/ping', headers: [['authorization', 'Bearer k']] })
    await add('https://w:8443/vllm/one')
    assert.deepEqual(
      client.sent.map((one) => one.url),
      ['https://w:8443/vllm/one/ping', 'https://w:8443/vllm/one/v1/models'],
    )
    for (const { headers } of client.sent) assert.deepEqual(headers, [['authorization', 'Bearer k']])
  })
})

describe('a worker whose metrics hang', () => {
  const hanging = (path: string): FakeAnswer => (path === '/metrics' ? 'never' : well(path))

  test('is judged by its health check at once', async () => {
    const { add, client, clock } = probing({ readsEngine: true })
    const worker = await add(url, hanging)
    assert.deepEqual([worker.health.name, worker.probed], ['healthy', true])
    client.answer(url, (path) => (path === '/health' ? 'refused' : hanging(path)))
    await clock.pass(3000, 50)
    assert.equal(worker.health.name, 'unhealthy')
  })

  for (const [timeoutMs, waitedMs] of [
    [5000, 1000],
    [300, 300],
  ] as const) {
    test(`is waited for ${waitedMs} ms where a probe may take ${timeoutMs} ms, and then probed further`, async () => {
      const { add, client, clock } = probing({ readsEngine: true, timeoutMs })
      await add(url, hanging)
      await clock.pass(2000 + waitedMs, 50)
      assert.deepEqual(client.times(`${url}/health`), [0, 2000 + waitedMs])
    })
  }

  test('is asked for them once with each probe, also when it has requests', async () => {
    const { add, client, clock, pool } = probing({ readsEngine: true })
    await add(url, hanging)
    const lease = pool.acquire(requestFor())
    await clock.pass(20_000, 50)
    assert.equal(client.times(`${url}/metrics`).length, client.times(`${url}/health`).length)
    lease?.settle('success')
  })
})

test('a worker that is not asked for its metrics with each probe is asked when it has requests, now and then', async () => {
  const { add, client, clock, pool } = probing()
  await add(url)
  await clock.pass(10_000, 50)
  assert.equal(client.times(`${url}/metrics`).length, 0)
  const lease = pool.acquire(requestFor())
  await clock.pass(30_000, 50)
  assert.deepEqual(client.times(`${url}/metrics`), [12_000, 22_000, 32_000])
  lease?.settle('success')
})

describe('a healthy worker', () => {
  test('is down at once when nobody listens any more', async () => {
    const { add, client, until, reports } = probing()
    const worker = await add(url)
    client.answer(url, () => 'refused')
    assert.ok((await until(worker, 'unhealthy', 3000)) <= 2000)
    assert.deepEqual(worker.health, { name: 'unhealthy', reason: 'ECONNREFUSED', cause: 'refused' })
    assert.equal(client.times(`${url}/health`).length, 2)
    assert.deepEqual(reports, [`${url}: starting -> healthy`, `${url}: healthy -> unhealthy`])
  })

  for (const [what, answer, reason, cause] of [
    ['silence', 'never', 'no answer within 5 s', 'silent'],
    ['a reset', 'reset', 'ECONNRESET', 'silent'],
    ['an error status', 503, 'status 503', 'status'],
    ['a redirect', 307, 'status 307', 'status'],
  ] as const) {
    test(`is down after three probes with ${what}, not after two`, async () => {
      const { add, client, clock } = probing()
      const worker = await add(url)
      client.answer(url, () => answer)
      const probes = () => client.times(`${url}/health`).length - 1
      while (probes() < 3) {
        assert.equal(worker.health.name, 'healthy', `after ${probes()} probes`)
        await clock.pass(100)
      }
      await clock.pass(5000, 100)
      assert.deepEqual(worker.health, { name: 'unhealthy', reason, cause })
    })
  }

  test('may fail two of three probes for ever', async () => {
    const { add, client, clock } = probing()
    const worker = await add(url)
    let probe = 0
    client.answer(url, (path) => (path === '/health' && ++probe % 3 !== 0 ? 500 : well(path)))
    await clock.pass(60_000, 100)
    assert.equal(worker.health.name, 'healthy')
    assert.ok(probe > 20)
  })

  test('that sends tokens is alive, however long its health check takes', async () => {
    const { add, client, clock, until } = probing()
    const worker = await add(url)
    client.answer(url, () => 'never')
    for (let second = 0; second < 60; second++) {
      worker.noteActivity()
      await clock.pass(1000, 100)
    }
    assert.equal(worker.health.name, 'healthy')
    await until(worker, 'unhealthy', 30_000)
  })

  test('that has sent a token within the time between two probes is alive, and not by one that is older', async () => {
    for (const [at, health] of [
      [0, 'unhealthy'],
      [1, 'healthy'],
    ] as const) {
      const { add, client, clock } = probing({ failureThreshold: 1 })
      const worker = await add(url)
      client.answer(url, () => 500)
      clock.advance(at)
      worker.noteActivity()
      await clock.pass(2000 - at)
      assert.equal(client.times(`${url}/health`).length, 2)
      assert.equal(worker.health.name, health)
    }
  })

  test('that has sent tokens a moment ago is down all the same when nobody listens', async () => {
    const { add, client, until } = probing()
    const worker = await add(url)
    client.answer(url, () => 'refused')
    worker.noteActivity()
    await until(worker, 'unhealthy', 3000)
  })
})

describe('an unhealthy worker', () => {
  async function down(options: Parameters<typeof probing>[0] = {}) {
    const all = probing(options)
    const worker = await all.add(url)
    const fall = async () => {
      all.client.answer(url, () => 'refused')
      await all.until(worker, 'unhealthy', 3000)
    }
    await fall()
    return { ...all, worker, fall }
  }

  test('is up after two good probes, within few seconds', async () => {
    const { worker, client, until } = await down()
    client.answer(url, well)
    const probes = client.times(`${url}/health`).length
    assert.ok((await until(worker, 'healthy', 5000)) <= 2000)
    assert.equal(client.times(`${url}/health`).length - probes, 2)
  })

  test('is up after two good probes in a row only', async () => {
    const { worker, client, clock } = await down()
    let probe = 0
    client.answer(url, (path) => (path === '/health' && ++probe % 2 === 0 ? 500 : well(path)))
    await clock.pass(30_000, 100)
    assert.equal(worker.health.name, 'unhealthy')
  })

  test('must prove itself longer each time it comes and goes', async () => {
    const { worker, client, until, fall } = await down()
    const needed: number[] = []
    for (let round = 0; round < 6; round++) {
      client.answer(url, well)
      const probes = client.times(`${url}/health`).length
      await until(worker, 'healthy', 60_000)
      needed.push(client.times(`${url}/health`).length - probes)
      await fall()
    }
    assert.deepEqual(needed, [2, 4, 8, 16, 32, 32])
  })

  test('is forgiven its falls after five minutes', async () => {
    const { worker, client, clock, until, fall } = await down()
    client.answer(url, well)
    await until(worker, 'healthy', 5000)
    await clock.pass(5 * 60_000, 500)
    await fall()
    client.answer(url, well)
    assert.ok((await until(worker, 'healthy', 5000)) <= 2000)
  })

  test('is known by what the last probe found, not by what brought it down', async () => {
    const { worker, client, clock } = await down()
    client.answer(url, () => 503)
    await clock.pass(2000, 100)
    assert.deepEqual(worker.health, { name: 'unhealthy', reason: 'status 503', cause: 'status' })
  })

  test('may be tried at once when it is up again, whatever its breaker says', async () => {
    let now = () => 0
    const breaker = new Breaker({
      failureThreshold: 1,
      successThreshold: 1,
      openMs: 60_000,
      failureRate: 1,
      minimumRequests: 100,
      windowMs: 1000,
      now: () => now(),
      random: () => 0.5,
    })
    const { worker, client, clock, until } = await down({ createBreaker: () => breaker })
    now = () => clock.now()
    await breaker.leave(breaker.enter(), 'failure')
    assert.ok(!breaker.allows())
    client.answer(url, well)
    await until(worker, 'healthy', 5000)
    assert.ok(breaker.allows())
  })

  test('is probed at once when a request says that something has changed', async () => {
    const { worker, client, prober } = await down()
    const probes = client.times(`${url}/health`).length
    client.answer(url, well)
    prober.probeSoon(worker)
    prober.probeSoon(worker)
    await settled()
    assert.equal(client.times(`${url}/health`).length, probes + 1, 'one probe at a time')
  })
})
