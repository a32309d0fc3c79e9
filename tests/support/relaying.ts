/** The loop over attempts by itself, without network or time: workers that answer as told, and one request to them. */

import assert from 'node:assert/strict'
import type { Call } from '../../app/relay/call.ts'
import type { Answer, ExchangeOptions } from '../../app/relay/exchange.ts'
import { relay } from '../../app/relay/relay.ts'
import { RequestKind } from '../../app/relay/request-kind.ts'
import { RequestRecord } from '../../app/request/request-record.ts'
import type { HeaderFields } from '../../app/upstream/http-client.ts'
import type { Worker } from '../../app/workers/worker.ts'
import type { RouterError } from '../../http/errors.ts'
import type { Breaker } from '../../policies/resilience/breaker.ts'
import { RetryBudget } from '../../policies/resilience/retry-budget.ts'
import { AppClock, settled } from './app-clock.ts'
import { within } from './deadline.ts'
import { type FakeAnswer, FakeClient } from './fake-client.ts'
import { testPool } from './pool.ts'

const path = '/v1/chat/completions'
export const good: FakeAnswer = { status: 200, body: '{"good":true}' }
export const broken: FakeAnswer = { status: 500, body: '{"error":{"message":"boom","code":500}}' }
export const busy: FakeAnswer = { status: 503, body: '{"error":{"message":"full","code":503}}' }

export interface RelayOptions {
  readonly maxAttempts?: number
  /** Tokens that the retry budget has; default plenty. */
  readonly retries?: number
  /** Retries that each request adds to the budget. */
  readonly ratio?: number
  readonly call?: Partial<Call>
  readonly exchange?: Partial<ExchangeOptions>
  /** The head of every answer. */
  readonly headers?: HeaderFields
  readonly createBreaker?: () => Breaker
  readonly isStarting?: () => boolean
}

/** Workers that answer so, in the order in which they are asked first; and one request to them. */
export function relaying(
  answers: readonly FakeAnswer[],
  { maxAttempts = 5, retries = 100, ratio = 0, call = {}, headers = [], ...more }: RelayOptions = {},
) {
  const clock = new AppClock()
  clock.advance(5000)
  const client = new FakeClient(clock)
  /** Of each attempt: whether it may use no idle connection. */
  const fresh: boolean[] = []
  const send = client.send.bind(client)
  client.send = (request) => {
    fresh.push(request.fresh === true)
    // Without a network no timer would ever have its turn between two attempts: only this ends a loop without an end.
    assert.ok(fresh.length < 1000, 'it asks without end')
    const pending = send(request)
    return { ...pending, head: pending.head.then((answer) => ({ ...answer, headers })) }
  }
  const { createBreaker, isStarting = () => false } = more
  const { pool, reports, addHealthy } = testPool({ clock, ...(createBreaker && { createBreaker }) })
  const workers = answers.map((answer, index) => {
    const worker = addHealthy(`http://w${index}:8000`)
    client.answer(worker.origin, () => answer)
    return worker
  })
  const events = {
    retried: 0,
    exhausted: 0,
    failed: [] as string[],
    /** Milliseconds before each further attempt. */
    delays: [] as number[],
    /** Workers whose next probe is to come soon. */
    doubted: [] as string[],
  }
  const record = new RequestRecord('POST', path, clock.now())
  const facts = { method: 'POST', path, headers: [], body: undefined, record }
  const budget = new RetryBudget({ ratio, minimumPerSecond: retries / 10, now: () => clock.now() })
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
          ...more.exchange,
        } satisfies ExchangeOptions,
        retry: {
          ...{ maxAttempts, initialBackoffMs: 50, maxBackoffMs: 200, multiplier: 2, jitter: 0 },
          random: () => 0.5,
        },
        probeSoon: ({ url }) => void events.doubted.push(url),
        isStarting,
        events: {
          retried: (_call, _attempt, delayMs) => {
            events.retried++
            events.delays.push(delayMs)
          },
          retriesExhausted: () => void events.exhausted++,
          attemptFailed: (_, worker, { details }) =>
            void events.failed.push(`${worker.url} ${details.fault}`),
        },
      },
    )
  return {
    clock,
    client,
    pool,
    workers,
    events,
    record,
    run,
    fresh,
    /** Runs it to its end, whatever pauses there are. */
    async answer(): Promise<Answer> {
      const answered = run()
      answered.catch(() => {})
      await settled()
      for (let step = 0; step < 40; step++) await clock.pass(50)
      return within(2000, answered, 'an answer')
    },
    sent: () => client.sent.map(({ url }) => url.replace(path, '')),
    outcomes: (worker: Worker | undefined) => reports.outcomes.get(worker!),
    idle: () => assert.ok(workers.every(({ inFlight }) => inFlight === 0)),
  }
}

export function statusOf({ status, body }: Answer): string {
  return `${status} ${body instanceof Uint8Array ? Buffer.from(body).toString() : 'stream'}`
}

export async function errorOf(answer: Promise<Answer>): Promise<RouterError> {
  return within(2000, answer, 'an error').then(
    () => assert.fail('the request was answered'),
    (error: RouterError) => error,
  )
}
