/** The loop over attempts by itself, without network or time: who is asked next, how often, and who is blamed. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Worker } from '../../../app/workers/worker.ts'
import { settled } from '../../support/app-clock.ts'
import { within } from '../../support/deadline.ts'
import type { FakeAnswer } from '../../support/fake-client.ts'
import { broken, busy, errorOf, good, relaying, statusOf } from '../../support/relaying.ts'

describe('a worker that answers 500', () => {
  test('is blamed when another one serves the same request', async () => {
    const { answer, outcomes, workers, record, events, idle } = relaying([broken, good])
    assert.equal(statusOf(await answer()), '200 {"good":true}')
    assert.deepEqual(workers.map(outcomes), [['failure'], ['success']])
    assert.deepEqual([record.attempts, record.workerId, events.retried], [2, workers[1]?.id, 1])
    idle()
  })

  test('is blamed with all others that did, when a later one serves it', async () => {
    const { answer, outcomes, workers } = relaying([broken, broken, good])
    assert.equal(statusOf(await answer()), '200 {"good":true}')
    assert.deepEqual(workers.map(outcomes), [['failure'], ['failure'], ['success']])
  })

  test("and says that it is the client's mistake is asked once, and no good sign either", async () => {
    const body = '{"error":{"message":"too long","type":"BadRequestError","code":500}}'
    const { answer, outcomes, workers, sent } = relaying([{ status: 500, body }, good])
    assert.equal(statusOf(await answer()), `500 ${body}`)
    assert.deepEqual([sent().length, outcomes(workers[0])], [1, ['neutral']])
  })

  test('is not when another one answers alike: the client gets the last answer as it is', async () => {
    const { answer, outcomes, workers } = relaying([broken, broken], { maxAttempts: 2 })
    assert.match(statusOf(await answer()), /^500 .*boom/)
    assert.deepEqual(workers.map(outcomes), [['neutral'], ['neutral']])
  })

  test('is blamed where it is the only one: nobody speaks for it', async () => {
    const { answer, outcomes, workers, sent } = relaying([broken], { maxAttempts: 3 })
    assert.match(statusOf(await answer()), /^500 .*boom/)
    assert.equal(sent().length, 3)
    assert.deepEqual(new Set(outcomes(workers[0])), new Set(['failure']))
  })
})

describe('attempts', () => {
  for (const maxAttempts of [1, 2, 3, 4])
    test(`are never more than ${maxAttempts}, where so many are set`, async () => {
      const { answer, sent, record } = relaying([broken, broken, broken, broken, broken, broken], {
        maxAttempts,
      })
      await answer()
      assert.equal(sent().length, maxAttempts)
      assert.equal(new Set(sent()).size, maxAttempts, 'each goes to another worker')
      assert.equal(record.attempts, maxAttempts)
    })

  test('end with the budget, and that is told', async () => {
    const { answer, sent, events } = relaying([broken, broken, broken, broken], { retries: 1 })
    await answer()
    assert.deepEqual([sent().length, events.exhausted], [2, 1])
  })

  test('at workers where nobody listens cost neither number nor budget', async () => {
    const { answer, sent, events } = relaying(['refused', 'refused', 'refused', good], {
      maxAttempts: 2,
      retries: 0,
    })
    assert.equal(statusOf(await answer()), '200 {"good":true}')
    assert.deepEqual([sent().length, events.exhausted], [4, 0])
  })

  test('are two when both end in the death of a worker: a poison request walks no further', async () => {
    const { answer, sent } = relaying(['reset', 'reset', good, good])
    assert.equal((await errorOf(answer())).code, 'worker_unreachable')
    assert.equal(sent().length, 2)
  })

  test('go round once more after a pause, when all have been tried', async () => {
    const { answer, client, workers, clock } = relaying([broken, broken])
    const answered = answer()
    await settled()
    client.answer(workers[0]!.origin, () => good)
    assert.equal(statusOf(await answered), '200 {"good":true}')
    assert.ok(client.sent[2]!.at > clock.now() - 2000 && client.sent[2]!.at > client.sent[1]!.at, 'a pause')
  })
})

describe('busy workers', () => {
  test('cost no attempt of the number, no budget and no verdict', async () => {
    const { answer, outcomes, workers, events } = relaying([busy, busy, good], { maxAttempts: 2, retries: 0 })
    assert.equal(statusOf(await answer()), '200 {"good":true}')
    assert.deepEqual(workers.map(outcomes), [['neutral'], ['neutral'], ['success']])
    assert.deepEqual(events.failed, ['http://w0:8000 busy', 'http://w1:8000 busy'])
  })

  test('all of them: the client hears so at once, and when to come again', async () => {
    const { run, sent } = relaying([busy, busy, busy])
    const answer = await within(2000, run(), 'an answer')
    assert.equal(answer.status, 503)
    assert.ok(answer.headers.some(([name, value]) => name === 'retry-after' && Number(value) >= 1))
    assert.equal(sent().length, 3)
  })
})

test('a client of busy workers is told in how many seconds the first of them may have room', async () => {
  const { answer, workers } = relaying([busy, busy])
  for (const [at, worker] of workers.entries()) worker.refuse(30_000 + at * 10_000)
  const { headers } = await answer()
  const told = Number(headers.find(([name]) => name === 'retry-after')?.[1])
  assert.ok(told > 20 && told <= 30, String(told))
})

describe('a request about what one worker alone has', () => {
  function atSecond(answers: readonly FakeAnswer[]) {
    const call: { home?: Worker } = {}
    const all = relaying(answers, { call })
    call.home = all.workers[1]!
    return all
  }

  test('goes to that one, and to no other when it fails', async () => {
    const served = atSecond([broken, good])
    assert.equal(statusOf(await served.answer()), '200 {"good":true}')
    const failed = atSecond([good, broken])
    assert.match(statusOf(await failed.answer()), /^500 .*boom/)
    assert.deepEqual(failed.sent(), ['http://w1:8000'])
  })

  test('is refused when that one cannot take it', async () => {
    const { run, workers, sent } = atSecond([good, good])
    workers[1]!.health = { name: 'unhealthy', reason: '', cause: 'refused' }
    const { code, message } = await errorOf(run())
    assert.equal(code, 'no_available_worker')
    assert.match(message, /the worker that has this response/)
    assert.deepEqual(sent(), [])
  })
})

test('a worker that waited too long for a request is not blamed, and another is asked', async () => {
  const { answer, outcomes, workers, events } = relaying([{ status: 408, body: '{}' }, good])
  assert.equal(statusOf(await answer()), '200 {"good":true}')
  assert.deepEqual(events.failed, ['http://w0:8000 waited_too_long'])
  assert.deepEqual(outcomes(workers[1]), ['success'])
})

describe('a request that changes its worker', () => {
  test('is not sent to another one when it may have been seen', async () => {
    const { answer, sent } = relaying([broken, good], { call: { once: true } })
    assert.match(statusOf(await answer()), /^500 .*boom/)
    assert.equal(sent().length, 1)
  })

  test('is sent to another one when nobody has seen it', async () => {
    const { answer, sent } = relaying(['refused', good], { call: { once: true } })
    assert.equal(statusOf(await answer()), '200 {"good":true}')
    assert.equal(sent().length, 2)
  })
})

describe('a worker that shuts down', () => {
  const body = '{"error":{"message":"cannot schedule new futures after shutdown","code":500}}'

  test('stands back for a minute, is not blamed, and another serves the request', async () => {
    const { answer, outcomes, workers, events } = relaying([{ status: 500, body }, good])
    assert.equal(statusOf(await answer()), '200 {"good":true}')
    assert.deepEqual(events.failed, ['http://w0:8000 shutting_down'])
    assert.deepEqual(workers.map(outcomes), [['neutral'], ['success']])
    // The clock has gone on for two seconds.
    assert.ok(workers[0]!.standBack.remainingMs >= 58_000)
  })

  test('stands back alone: one that fails otherwise is asked again', async () => {
    const { answer, workers } = relaying([broken, good])
    await answer()
    assert.deepEqual(
      workers.map(({ standBack }) => standBack.known),
      [false, false],
    )
  })
})

describe('a request that is ended from outside', () => {
  test('while it waits for a worker ends there at once, and blames nobody', async () => {
    const { run, record, outcomes, workers, idle } = relaying(['never'])
    const answered = errorOf(run())
    await settled()
    record.stop.because('client_closed')
    assert.equal((await answered).code, 'client_closed')
    assert.deepEqual(outcomes(workers[0]), ['neutral'])
    idle()
  })

  test('is not tried again', async () => {
    const { run, record, client, workers, sent } = relaying([broken, good])
    client.answer(workers[0]!.origin, () => {
      record.stop.because('client_closed')
      return broken
    })
    assert.equal((await errorOf(run())).code, 'client_closed')
    assert.equal(sent().length, 1)
  })

  test('before it begins asks nobody', async () => {
    const { run, record, sent } = relaying([good])
    record.stop.because('request_timeout')
    assert.equal((await errorOf(run())).code, 'request_timeout')
    assert.equal(sent().length, 0)
  })
})

test('a whole good answer is a sign of life, an error of the client is none', async () => {
  const served = relaying([good])
  served.clock.advance(1234)
  await served.run()
  assert.equal(served.workers[0]?.silentMs, 0)
  const refused = relaying([{ status: 400, body: '{"error":{"message":"no","code":400}}' }])
  await refused.run()
  assert.equal(refused.workers[0]?.silentMs, Number.POSITIVE_INFINITY)
})
