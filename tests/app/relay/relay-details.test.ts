/** What the loop over attempts does beside the common ways: its books, its first probes, what is found elsewhere. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Call } from '../../../app/relay/call.ts'
import type { Answer } from '../../../app/relay/exchange.ts'
import { RequestKind } from '../../../app/relay/request-kind.ts'
import { TransportError } from '../../../app/upstream/http-client.ts'
import type { Lease } from '../../../app/workers/lease.ts'
import type { Breaker } from '../../../policies/resilience/breaker.ts'
import { settled } from '../../support/app-clock.ts'
import { within } from '../../support/deadline.ts'
import type { FakeAnswer } from '../../support/fake-client.ts'
import { PullingClient } from '../../support/pulling-client.ts'
import { broken, busy, errorOf, good, type RelayOptions, relaying, statusOf } from '../../support/relaying.ts'

const refusal: FakeAnswer = { status: 400, body: '{"error":{"message":"no","code":400}}' }
const missing: FakeAnswer = { status: 404, body: '{"error":{"message":"gone","code":404}}' }

describe('an attempt after a failure', () => {
  test('goes to an untried worker at once, and to the only one after pauses that grow', async () => {
    const two = relaying([broken, good])
    await two.answer()
    assert.deepEqual([two.events.delays, two.client.sent[1]?.at], [[0], two.client.sent[0]?.at])
    const one = relaying([broken], { maxAttempts: 4 })
    await one.answer()
    assert.deepEqual(one.events.delays, [50, 100, 200])
    const times = one.client.sent.map(({ at }) => at - one.client.sent[0]!.at)
    assert.deepEqual(times, [0, 50, 150, 350])
  })

  test('goes to a busy worker rather than to the one that has failed', async () => {
    const { answer, workers, sent, events } = relaying([broken, good])
    workers[1]!.refuse(30_000)
    assert.equal(statusOf(await answer()), '200 {"good":true}')
    assert.deepEqual([sent(), events.delays], [['http://w0:8000', 'http://w1:8000'], [0]])
  })

  test('uses no idle connection once a worker has died', async () => {
    for (const [first, fresh] of [
      ['reset', [false, true]],
      [broken, [false, false]],
    ] as const) {
      const all = relaying([first, good])
      await all.answer()
      assert.deepEqual(all.fresh, fresh)
    }
  })

  test('has no request of the failed one counted any more', async () => {
    const { answer, client, workers } = relaying([broken, good])
    let inFlight: number | undefined
    client.answer(workers[1]!.origin, () => {
      inFlight = workers[0]!.inFlight
      return good
    })
    await answer()
    assert.equal(inFlight, 0)
  })

  test('can be paid by what each request adds to the budget', async () => {
    const { answer } = relaying([broken, good], { retries: 0, ratio: 1 })
    assert.equal(statusOf(await answer()), '200 {"good":true}')
  })

  test('that the number forbids is told, unless there are to be no retries at all', async () => {
    for (const [maxAttempts, told] of [
      [1, 0],
      [2, 1],
    ] as const) {
      const { answer, events } = relaying([broken, broken, broken], { maxAttempts })
      await answer()
      assert.equal(events.exhausted, told)
    }
  })

  test('is none where this process has no connection left: the client is to give back its own', async () => {
    const { run, sent, outcomes, workers } = relaying(['exhausted', good])
    const { code, retryAfter, close } = await errorOf(run())
    assert.deepEqual([code, retryAfter, close], ['no_available_worker', 1, true])
    assert.deepEqual([sent().length, outcomes(workers[0])], [1, ['neutral']])
  })
})

describe('who is blamed', () => {
  test('a worker where nobody listens, at once: its next probe comes soon', async () => {
    const one = relaying(['refused', good], { maxAttempts: 1 })
    assert.equal((await errorOf(one.run())).code, 'worker_unreachable')
    assert.deepEqual([one.outcomes(one.workers[0]), one.events.doubted], [['failure'], ['http://w0:8000']])
    const two = relaying(['refused', 'refused'], { maxAttempts: 2 })
    for (const worker of two.workers) worker.noteActivity()
    const { code, retryAfter, close } = await errorOf(two.answer())
    assert.deepEqual([code, retryAfter, close], ['worker_unreachable', undefined, false])
    for (const worker of two.workers) assert.deepEqual(new Set(two.outcomes(worker)), new Set(['failure']))
    assert.deepEqual(new Set(two.events.doubted), new Set(['http://w0:8000', 'http://w1:8000']))
    const other = relaying([broken, good])
    await other.answer()
    assert.deepEqual(other.events.doubted, [])
  })

  test('workers that break off alike, unless they have served others within half a minute', async () => {
    for (const [ago, outcome] of [
      [29_999, 'neutral'],
      [30_000, 'failure'],
    ] as const) {
      const { run, workers, outcomes, clock } = relaying(['reset', 'reset', good])
      for (const worker of workers) worker.noteActivity()
      clock.advance(ago)
      assert.equal((await errorOf(run())).code, 'worker_unreachable')
      assert.deepEqual(workers.slice(0, 2).map(outcomes), [[outcome], [outcome]], `${ago}`)
    }
  })

  test('nobody, where a third one finds the fault in the request', async () => {
    const { answer, workers, outcomes } = relaying([broken, broken, refusal])
    assert.match(statusOf(await answer()), /^400 /)
    assert.deepEqual(workers.map(outcomes), [['neutral'], ['neutral'], ['success']])
  })

  test('nobody, where no second opinion can be had: busy, no budget, or the client has left', async () => {
    const full = relaying([broken, busy])
    assert.match(statusOf(await full.answer()), /^503 /)
    assert.deepEqual(full.outcomes(full.workers[0]), ['neutral'])
    const poor = relaying([broken, good], { retries: 0 })
    assert.match(statusOf(await poor.answer()), /^500 /)
    assert.deepEqual(poor.outcomes(poor.workers[0]), ['neutral'])
    const left = relaying([broken, good])
    left.client.answer(left.workers[0]!.origin, () => {
      left.record.stop.because('client_closed')
      return broken
    })
    assert.equal((await errorOf(left.run())).code, 'client_closed')
    assert.deepEqual(left.outcomes(left.workers[0]), ['neutral'])
  })

  test('without retries, a worker that is alone with its fault', async () => {
    const { run, workers, outcomes } = relaying([broken, broken], { maxAttempts: 1 })
    await run()
    await run()
    assert.deepEqual(workers.map(outcomes), [['failure'], ['neutral']])
  })

  test('the only worker that has something, where it is the only one at all', async () => {
    for (const [answers, maxAttempts, outcome] of [
      [[broken, good], 5, 'neutral'],
      [[broken], 5, 'failure'],
      [[broken, good], 1, 'neutral'],
      [[broken], 1, 'failure'],
    ] as const) {
      const call: Partial<Record<'home', Call['home']>> = {}
      const all = relaying(answers, { call, maxAttempts })
      call.home = all.workers[0]
      assert.match(statusOf(await all.answer()), /^500 /)
      assert.deepEqual([all.sent().length, all.outcomes(all.workers[0])], [1, [outcome]])
    }
  })

  test('the last worker there is, asked once although its breaker is open', async () => {
    const forbidding = {
      ...{ allows: () => false, state: { name: 'open', until: 1e9, reason: '' } },
      ...{ enter: () => ({ epoch: 0, trial: false, forced: true }), leave: async () => {} },
    } as unknown as Breaker
    const { answer, sent, outcomes, workers } = relaying([broken], { createBreaker: () => forbidding })
    assert.match(statusOf(await answer()), /^500 /)
    assert.deepEqual([sent().length, outcomes(workers[0])], [1, ['failure']])
  })
})

describe('a busy answer', () => {
  test('keeps its fields, but for when to come again', async () => {
    const headers = [
      ['Content-Type', 'application/json'],
      ['Retry-After', '7'],
    ] as const
    const { run } = relaying([busy], { headers })
    const answer = await within(2000, run(), 'an answer')
    assert.deepEqual(answer.headers, [
      ['Content-Type', 'application/json'],
      ['retry-after', '7'],
    ])
  })

  test('of a worker that takes nothing more in any case is passed on as it is', async () => {
    const { run, client, workers } = relaying([busy])
    client.answer(workers[0]!.origin, () => {
      workers[0]!.draining = true
      return busy
    })
    const answer = await within(2000, run(), 'an answer')
    assert.deepEqual([answer.status, answer.headers], [503, []])
  })

  test('within a stream is passed on as it is', async () => {
    const body = 'data: {"error":{"message":"full","code":503}}\n\n'
    const headers = [['content-type', 'text/event-stream']] as const
    const { run, workers } = relaying([{ status: 200, body }], { headers, call: { stream: true } })
    const answer = await within(2000, run(), 'an answer')
    assert.equal(statusOf(answer), `200 ${body}`)
    assert.deepEqual([answer.headers, workers[0]?.standBack.known], [headers, true])
  })
})

describe('a request to a router that has just been started', () => {
  function starting({ isStarting = true } = {}) {
    let looks = 0
    const all = relaying([good], {
      isStarting: () => {
        assert.ok(++looks < 1000, 'it looks without a pause')
        return isStarting
      },
    })
    all.workers[0]!.health = { name: 'starting' }
    let isOver = false
    const answered = all.run()
    const over = (): void => {
      isOver = true
    }
    answered.then(over, over)
    return { ...all, answered, isOver: () => isOver }
  }

  test('waits for the first probes', async () => {
    const { clock, workers, answered, isOver, record } = starting()
    await clock.pass(200, 20)
    assert.equal(isOver(), false)
    workers[0]!.health = { name: 'healthy' }
    await clock.pass(20)
    assert.equal(statusOf(await within(2000, answered, 'an answer')), '200 {"good":true}')
    assert.equal(record.attempts, 1)
  })

  test('waits for three seconds at most', async () => {
    const { clock, answered, isOver } = starting()
    await clock.pass(2980, 20)
    assert.equal(isOver(), false)
    await clock.pass(20)
    assert.equal(isOver(), true)
    assert.equal((await errorOf(answered)).code, 'no_available_worker')
  })

  test('does not wait where all have been asked', async () => {
    const { clock, answered, isOver } = starting({ isStarting: false })
    await settled()
    assert.deepEqual([isOver(), clock.pending], [true, 0])
    assert.equal((await errorOf(answered)).code, 'no_available_worker')
  })

  test('ends with its client', async () => {
    const { clock, record, answered } = starting()
    await clock.pass(100, 20)
    record.stop.because('client_closed')
    assert.equal((await errorOf(answered)).code, 'client_closed')
  })
})

describe('what a worker has not, and another may have', () => {
  /** The answer is looked for elsewhere; `others` have it neither. */
  function lookingElsewhere(
    answers: readonly FakeAnswer[],
    others: (index: number) => readonly number[] | undefined,
    more: RelayOptions = {},
  ) {
    const call: Partial<Record<'elsewhere', Call['elsewhere']>> = {}
    const all = relaying(answers, { ...more, call })
    call.elsewhere = (_answer, worker) =>
      others(all.workers.indexOf(worker))?.map((index) => all.workers[index]!)
    return all
  }
  const textOf = async ({ body }: Answer): Promise<string> => {
    assert.ok(!(body instanceof Uint8Array))
    let text = ''
    const client = new PullingClient(body)
    for (let piece = await client.read(); piece !== undefined; piece = await client.read())
      text += Buffer.from(piece).toString()
    return text
  }

  test('is asked of another, which costs neither attempt nor budget nor verdict', async () => {
    for (const first of [missing, refusal]) {
      const { run, outcomes, workers, events, idle } = lookingElsewhere([first, good], () => [], {
        maxAttempts: 1,
        retries: 0,
      })
      assert.equal(statusOf(await run()), '200 {"good":true}')
      assert.deepEqual(workers.map(outcomes), [['success'], ['success']])
      assert.deepEqual([events.failed, events.exhausted], [[], 0])
      idle()
    }
  })

  test('is not asked of those that are known to lack it', async () => {
    const { run, sent } = lookingElsewhere([missing, good, good], () => [1])
    await run()
    assert.deepEqual(sent(), ['http://w0:8000', 'http://w2:8000'])
  })

  test('is not looked for in an answer that has it, or where no other may have it', async () => {
    const found = lookingElsewhere([good, good], () => assert.fail('it was there'))
    assert.equal(statusOf(await found.run()), '200 {"good":true}')
    const nowhere = lookingElsewhere([missing, good], () => undefined)
    assert.match(statusOf(await nowhere.run()), /^404 .*gone/)
    assert.equal(nowhere.sent().length, 1)
  })

  test('and nobody has, is answered by the last one', async () => {
    const short = lookingElsewhere([missing, missing], () => [])
    assert.match(statusOf(await short.run()), /^404 .*gone/)
    assert.equal(short.sent().length, 2)
    const long = lookingElsewhere([missing], () => [], { exchange: { maxHoldBytes: 4 } })
    assert.match(await textOf(await long.run()), /gone/)
    assert.deepEqual(long.outcomes(long.workers[0]), ['success'])
    long.idle()
  })

  test('is not read to its end from the first one, however long its answer', async () => {
    const { run, outcomes, workers, idle } = lookingElsewhere([missing, good], () => [], {
      exchange: { maxHoldBytes: 4 },
    })
    const answer = await run()
    assert.deepEqual([workers[0]?.inFlight, outcomes(workers[0])], [0, ['neutral']])
    assert.equal(await textOf(answer), '{"good":true}')
    idle()
  })

  test('is nobody’s any more when its client has left', async () => {
    for (const maxHoldBytes of [4, 1e6]) {
      const { run, record, sent, idle } = lookingElsewhere(
        [missing, good],
        () => {
          record.stop.because('client_closed')
          return []
        },
        { exchange: { maxHoldBytes } },
      )
      assert.equal((await errorOf(run())).code, 'client_closed')
      assert.equal(sent().length, 1)
      idle()
    }
  })
})

describe('one attempt', () => {
  const token = 'data: {"choices":[{"index":0,"delta":{"content":"x"}}]}\n\n'
  const events = [['content-type', 'text/event-stream']] as const

  test('tells its worker what is left of the time, and which rank is to serve it', async () => {
    const { run, record, client, clock, pool } = relaying([good])
    const acquire = pool.acquire.bind(pool)
    pool.acquire = (...asked) => Object.assign(acquire(...asked)!, { rank: 3 })
    record.deadline = clock.now() + 1500
    await run()
    assert.deepEqual(client.sent[0]?.headers, [
      ['x-request-timeout-ms', '1500'],
      ['x-data-parallel-rank', '3'],
    ])
  })

  test('is made again on a new connection where an idle one turns out to be closed', async () => {
    const { run, client, fresh, record, outcomes, workers } = relaying([good])
    const send = client.send.bind(client)
    let first = true
    client.send = (request) => {
      if (!first) return send(request)
      first = false
      const stale = new TransportError('reset', 'ECONNRESET', { reused: true })
      return { head: Promise.reject(stale), abort: () => {} }
    }
    assert.equal(statusOf(await run()), '200 {"good":true}')
    assert.deepEqual([fresh, record.attempts, outcomes(workers[0])], [[true], 1, ['success']])
  })

  test('whose answer is a redirect comes to nothing, whatever kind of body that has', async () => {
    for (const headers of [events, []]) {
      const { answer, events: told } = relaying([{ status: 300, body: token }], {
        ...{ headers, maxAttempts: 2, call: { stream: true } },
      })
      assert.equal((await errorOf(answer())).code, 'bad_worker_response')
      assert.deepEqual(new Set(told.failed), new Set(['http://w0:8000 redirect']))
    }
  })

  test('shows no life where a long answer only says that the request is wrong', async () => {
    const { run, workers } = relaying([refusal], { exchange: { maxHoldBytes: 4 } })
    assert.equal((await run()).status, 400)
    assert.equal(workers[0]?.silentMs, Number.POSITIVE_INFINITY)
  })

  test('keeps nothing of the prompt once its answer is on the way', async () => {
    for (const [body, headers] of [
      [token, events],
      ['{"a":1}', []],
    ] as const) {
      const prompt = { blocks: [1], bytes: 3, bytesOf: () => 3 }
      const facts = { model: undefined, stream: true, path: '/v1/x', headers: [], body: undefined }
      const kind = new RequestKind({ ...facts, prompt })
      const { run } = relaying([{ status: 200, body }], { headers, call: { stream: true, kind } })
      assert.equal(statusOf(await run()), '200 stream')
      assert.equal(kind.prompt, undefined)
    }
  })

  test('without a first token in time is the worker’s fault only where nobody else had one since', async () => {
    for (const [later, fault] of [
      [0, 'first_token_timeout'],
      [1, 'first_token_overdue'],
    ] as const) {
      const {
        run,
        clock,
        workers,
        events: told,
      } = relaying(['never'], {
        ...{ maxAttempts: 1, call: { stream: true } },
      })
      const answered = errorOf(run())
      clock.advance(later)
      workers[0]!.noteActivity()
      await clock.pass(1000)
      assert.equal((await answered).code, 'first_token_timeout')
      assert.deepEqual(told.failed, [`http://w0:8000 ${fault}`])
    }
  })
})

test('the record and the trace of a request say how its attempts went', async () => {
  const all = relaying([broken, good])
  const { pool, record, workers, clock } = all
  const leases: (Lease | undefined)[] = []
  const acquire = pool.acquire.bind(pool)
  pool.acquire = (...asked) => {
    leases.push(acquire(...asked))
    return leases.at(-1)
  }
  const told: unknown[][] = []
  record.trace = {
    traceId: undefined,
    attemptBegins: ({ worker, why, sentAt }) => void told.push(['begins', worker, why, sentAt]),
    fields: (headers) => headers,
    gotHead: (status) => void told.push(['head', status]),
    attemptFailed: (outcome, at) => void told.push(['failed', outcome, at]),
    committed: () => {},
  }
  await all.run()
  const now = clock.now()
  const [first, second] = workers
  const why = leases[0]?.why
  assert.ok(why !== undefined)
  assert.deepEqual(told, [
    ['begins', first?.url, why, now],
    ['head', 500],
    ['failed', 'server_error', now],
    ['begins', second?.url, why, now],
    ['head', 200],
  ])
  assert.deepEqual(record.failures, [
    { workerId: first?.id, worker: first?.url, why, outcome: 'server_error', sentAt: now, endedAt: now },
  ])
  assert.deepEqual(
    [record.workerId, record.workerUrl, record.why, record.sentAt, record.lastFailed],
    [second?.id, second?.url, why, now, false],
  )
  assert.deepEqual([record.candidates, record.passedOver], [1, [{ worker: first?.url, reason: 'tried' }]])
  assert.ok(leases.every((lease) => lease?.payer === record))
})
