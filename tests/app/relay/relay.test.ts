/** The loop over attempts by itself, without network or time: who is asked next, how often, and who is blamed. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Call } from '../../../app/relay/call.ts'
import type { Answer, ExchangeOptions } from '../../../app/relay/exchange.ts'
import { relay } from '../../../app/relay/relay.ts'
import { RequestKind } from '../../../app/relay/request-kind.ts'
import { RequestRecord } from '../../../app/request/request-record.ts'
import type { Worker } from '../../../app/workers/worker.ts'
import type { RouterError } from '../../../http/errors.ts'
import { RetryBudget } from '../../../policies/resilience/retry-budget.ts'
import { AppClock, settled } from '../../support/app-clock.ts'
import { type FakeAnswer, FakeClient } from '../../support/fake-client.ts'
import { testPool } from '../../support/pool.ts'

const path = '/v1/chat/completions'
const good: FakeAnswer = { status: 200, body: '{"good":true}' }
const broken: FakeAnswer = { status: 500, body: '{"error":{"message":"boom","code":500}}' }
const busy: FakeAnswer = { status: 503, body: '{"error":{"message":"full","code":503}}' }

interface Options {
  readonly maxAttempts?: number
  /** Tokens that the retry budget has; default plenty. */
  readonly retries?: number
  readonly call?: Partial<Call>
}

/** Workers that answer so, in the order in which they are asked first; and one request to them. */
function kit(answers: readonly FakeAnswer[], { maxAttempts = 5, retries = 100, call = {} }: Options = {}) {
  const clock = new AppClock()
  const client = new FakeClient(clock)
  const { pool, reports, addHealthy } = testPool({ clock })
  const workers = answers.map((answer, index) => {
    const worker = addHealthy(`http://w${index}:8000`)
    client.answer(worker.origin, () => answer)
    return worker
  })
  const events = { retried: 0, exhausted: 0, failed: [] as string[] }
  const record = new RequestRecord('POST', path, clock.now())
  const facts = { method: 'POST', path, headers: [], body: undefined, record }
  const budget = new RetryBudget({ ratio: 0, minimumPerSecond: retries / 10, now: () => clock.now() })
  const run = (): Promise<Answer> =>
    relay(
      {
        ...facts,
        kind: new RequestKind({ ...facts, model: undefined, stream: false, body: undefined }),
        ...{ stream: false, dialect: 'openai', endMarker: true, choices: 1, longHold: undefined },
        ...call,
      },
      {
        pool,
        budget,
        exchange: {
          ...{ client, clock, firstTokenMs: 1000, idleMs: 1000 },
          ...{ maxHoldBytes: 1e6, maxEventBytes: 1e6, pulse: async () => undefined },
        } satisfies ExchangeOptions,
        retry: {
          ...{ maxAttempts, initialBackoffMs: 50, maxBackoffMs: 200, multiplier: 2, jitter: 0 },
          random: () => 0.5,
        },
        probeSoon: () => {},
        isStarting: () => false,
        events: {
          retried: () => void events.retried++,
          retriesExhausted: () => void events.exhausted++,
          attemptFailed: (_, worker, { details }) =>
            void events.failed.push(`${worker.url} ${details.fault}`),
        },
      },
    )
  return {
    clock,
    client,
    workers,
    events,
    record,
    run,
    /** Runs it to its end, whatever pauses there are. */
    async answer(): Promise<Answer> {
      const answered = run()
      answered.catch(() => {})
      for (let step = 0; step < 40; step++) await clock.pass(50)
      return answered
    },
    sent: () => client.sent.map(({ url }) => url.replace(path, '')),
    outcomes: (worker: Worker | undefined) => reports.outcomes.get(worker!),
    idle: () => assert.ok(workers.every(({ inFlight }) => inFlight === 0)),
  }
}

function statusOf({ status, body }: Answer): string {
  return `${status} ${body instanceof Uint8Array ? Buffer.from(body).toString() : 'stream'}`
}

async function errorOf(answer: Promise<Answer>): Promise<RouterError> {
  return answer.then(
    () => assert.fail('the request was answered'),
    (error: RouterError) => error,
  )
}

describe('a worker that answers 500', () => {
  test('is blamed when another one serves the same request', async () => {
    const { answer, outcomes, workers, record, events, idle } = kit([broken, good])
    assert.equal(statusOf(await answer()), '200 {"good":true}')
    assert.deepEqual(workers.map(outcomes), [['failure'], ['success']])
    assert.deepEqual([record.attempts, record.workerId, events.retried], [2, workers[1]?.id, 1])
    idle()
  })

  test('is blamed with all others that did, when a later one serves it', async () => {
    const { answer, outcomes, workers } = kit([broken, broken, good])
    assert.equal(statusOf(await answer()), '200 {"good":true}')
    assert.deepEqual(workers.map(outcomes), [['failure'], ['failure'], ['success']])
  })

  test("and says that it is the client's mistake is asked once, and no good sign either", async () => {
    const body = '{"error":{"message":"too long","type":"BadRequestError","code":500}}'
    const { answer, outcomes, workers, sent } = kit([{ status: 500, body }, good])
    assert.equal(statusOf(await answer()), `500 ${body}`)
    assert.deepEqual([sent().length, outcomes(workers[0])], [1, ['neutral']])
  })

  test('is not when another one answers alike: the client gets the last answer as it is', async () => {
    const { answer, outcomes, workers } = kit([broken, broken], { maxAttempts: 2 })
    assert.match(statusOf(await answer()), /^500 .*boom/)
    assert.deepEqual(workers.map(outcomes), [['neutral'], ['neutral']])
  })

  test('is blamed where it is the only one: nobody speaks for it', async () => {
    const { answer, outcomes, workers, sent } = kit([broken], { maxAttempts: 3 })
    assert.match(statusOf(await answer()), /^500 .*boom/)
    assert.equal(sent().length, 3)
    assert.deepEqual(new Set(outcomes(workers[0])), new Set(['failure']))
  })
})

describe('attempts', () => {
  for (const maxAttempts of [1, 2, 3, 4])
    test(`are never more than ${maxAttempts}, where so many are set`, async () => {
      const { answer, sent, record } = kit([broken, broken, broken, broken, broken, broken], { maxAttempts })
      await answer()
      assert.equal(sent().length, maxAttempts)
      assert.equal(new Set(sent()).size, maxAttempts, 'each goes to another worker')
      assert.equal(record.attempts, maxAttempts)
    })

  test('end with the budget, and that is told', async () => {
    const { answer, sent, events } = kit([broken, broken, broken, broken], { retries: 1 })
    await answer()
    assert.deepEqual([sent().length, events.exhausted], [2, 1])
  })

  test('at workers where nobody listens cost neither number nor budget', async () => {
    const { answer, sent, events } = kit(['refused', 'refused', 'refused', good], {
      maxAttempts: 2,
      retries: 0,
    })
    assert.equal(statusOf(await answer()), '200 {"good":true}')
    assert.deepEqual([sent().length, events.exhausted], [4, 0])
  })

  test('are two when both end in the death of a worker: a poison request walks no further', async () => {
    const { answer, sent } = kit(['reset', 'reset', good, good])
    assert.equal((await errorOf(answer())).code, 'worker_unreachable')
    assert.equal(sent().length, 2)
  })

  test('go round once more after a pause, when all have been tried', async () => {
    const { answer, client, workers, clock } = kit([broken, broken])
    const answered = answer()
    await settled()
    client.answer(workers[0]!.origin, () => good)
    assert.equal(statusOf(await answered), '200 {"good":true}')
    assert.ok(client.sent[2]!.at > clock.now() - 2000 && client.sent[2]!.at > client.sent[1]!.at, 'a pause')
  })
})

describe('busy workers', () => {
  test('cost no attempt of the number, no budget and no verdict', async () => {
    const { answer, outcomes, workers, events } = kit([busy, busy, good], { maxAttempts: 2, retries: 0 })
    assert.equal(statusOf(await answer()), '200 {"good":true}')
    assert.deepEqual(workers.map(outcomes), [['neutral'], ['neutral'], ['success']])
    assert.deepEqual(events.failed, ['http://w0:8000 busy', 'http://w1:8000 busy'])
  })

  test('all of them: the client hears so at once, and when to come again', async () => {
    const { run, sent } = kit([busy, busy, busy])
    const answer = await run()
    assert.equal(answer.status, 503)
    assert.ok(answer.headers.some(([name, value]) => name === 'retry-after' && Number(value) >= 1))
    assert.equal(sent().length, 3)
  })
})

test('a client of busy workers is told in how many seconds the first of them may have room', async () => {
  const { answer, workers } = kit([busy, busy])
  for (const [at, worker] of workers.entries()) worker.refuse(30_000 + at * 10_000)
  const { headers } = await answer()
  const told = Number(headers.find(([name]) => name === 'retry-after')?.[1])
  assert.ok(told > 20 && told <= 30, String(told))
})

describe('a request about what one worker alone has', () => {
  function atSecond(answers: readonly FakeAnswer[]) {
    const call: { home?: Worker } = {}
    const all = kit(answers, { call })
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
  const { answer, outcomes, workers, events } = kit([{ status: 408, body: '{}' }, good])
  assert.equal(statusOf(await answer()), '200 {"good":true}')
  assert.deepEqual(events.failed, ['http://w0:8000 waited_too_long'])
  assert.deepEqual(outcomes(workers[1]), ['success'])
})

describe('a request that changes its worker', () => {
  test('is not sent to another one when it may have been seen', async () => {
    const { answer, sent } = kit([broken, good], { call: { once: true } })
    assert.match(statusOf(await answer()), /^500 .*boom/)
    assert.equal(sent().length, 1)
  })

  test('is sent to another one when nobody has seen it', async () => {
    const { answer, sent } = kit(['refused', good], { call: { once: true } })
    assert.equal(statusOf(await answer()), '200 {"good":true}')
    assert.equal(sent().length, 2)
  })
})

describe('a worker that shuts down', () => {
  const body = '{"error":{"message":"cannot schedule new futures after shutdown","code":500}}'

  test('stands back for a minute, is not blamed, and another serves the request', async () => {
    const { answer, outcomes, workers, events } = kit([{ status: 500, body }, good])
    assert.equal(statusOf(await answer()), '200 {"good":true}')
    assert.deepEqual(events.failed, ['http://w0:8000 shutting_down'])
    assert.deepEqual(workers.map(outcomes), [['neutral'], ['success']])
    // The clock has gone on for two seconds.
    assert.ok(workers[0]!.standBack.remainingMs >= 58_000)
  })

  test('stands back alone: one that fails otherwise is asked again', async () => {
    const { answer, workers } = kit([broken, good])
    await answer()
    assert.deepEqual(
      workers.map(({ standBack }) => standBack.known),
      [false, false],
    )
  })
})

describe('a request that is ended from outside', () => {
  test('while it waits for a worker ends there at once, and blames nobody', async () => {
    const { run, record, outcomes, workers, idle } = kit(['never'])
    const answered = errorOf(run())
    await settled()
    record.stop.because('client_closed')
    assert.equal((await answered).code, 'client_closed')
    assert.deepEqual(outcomes(workers[0]), ['neutral'])
    idle()
  })

  test('is not tried again', async () => {
    const { run, record, client, workers, sent } = kit([broken, good])
    client.answer(workers[0]!.origin, () => {
      record.stop.because('client_closed')
      return broken
    })
    assert.equal((await errorOf(run())).code, 'client_closed')
    assert.equal(sent().length, 1)
  })

  test('before it begins asks nobody', async () => {
    const { run, record, sent } = kit([good])
    record.stop.because('request_timeout')
    assert.equal((await errorOf(run())).code, 'request_timeout')
    assert.equal(sent().length, 0)
  })
})

test('a whole good answer is a sign of life, an error of the client is none', async () => {
  const served = kit([good])
  served.clock.advance(1234)
  await served.run()
  assert.equal(served.workers[0]?.silentMs, 0)
  const refused = kit([{ status: 400, body: '{"error":{"message":"no","code":400}}' }])
  await refused.run()
  assert.equal(refused.workers[0]?.silentMs, Number.POSITIVE_INFINITY)
})
