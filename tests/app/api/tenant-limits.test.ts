/** What a request costs its tenant, by what became of it; and what the tenant is told. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Hono } from 'hono'
import { tenantLimits, usedBy } from '../../../app/api/tenant-limits.ts'
import type { GatewayContext } from '../../../app/request/context.ts'
import { errorResponse } from '../../../app/request/render-error.ts'
import { type FailedAttempt, RequestRecord } from '../../../app/request/request-record.ts'
import type { JsonObject } from '../../../http/json/json.ts'
import { RequestBody } from '../../../http/request-body.ts'
import type { TenantLimits } from '../../../http/tenant.ts'
import type { Amounts } from '../../../policies/limits/limits-store.ts'
import { TenantLimiter } from '../../../policies/limits/tenant-limiter.ts'
import { TokenEstimates } from '../../../policies/limits/token-estimates.ts'
import { AppClock } from '../../support/app-clock.ts'
import { seeded } from '../../support/random.ts'
import { tenantOf } from '../../support/tenants.ts'

/** The middleware over a worker that a test plays: what it does to the record is what a worker would have done. */
function limited(limits: TenantLimits, path = '/v1/chat/completions') {
  const clock = new AppClock()
  clock.advance(5000)
  const limiter = new TenantLimiter({ clock })
  const estimates = new TokenEstimates()
  const tenant = tenantOf(limits)
  const told: string[] = []
  const records: RequestRecord[] = []
  let play: (record: RequestRecord) => void = () => {}
  const app = new Hono<GatewayContext>()
  const ask = { payload: {} as JsonObject, bytes: 0 }
  app.use((c, next) => {
    const record = new RequestRecord('POST', path, clock.now())
    records.push(record)
    c.set('record', record)
    c.set('tenant', tenant)
    c.set('payload', ask.payload)
    c.set('body', new RequestBody([new Uint8Array(ask.bytes)]))
    return next()
  })
  app.use(tenantLimits({ limiter, estimates, onLimited: (name, limit) => told.push(`${name} ${limit}`) }))
  app.all('*', (c) => {
    const record = c.get('record')
    record.attempts = 1
    record.model = 'm'
    record.status = 200
    play(record)
    const fields = Object.fromEntries(record.answerFields ?? [])
    if (record.endReason === undefined && !record.live) record.end('completed')
    return c.text('', 200, fields)
  })
  app.onError((error, c) => errorResponse(error, path, c.get('record')))
  return {
    ...{ clock, limiter, estimates, told, records },
    account: () => [...limiter.accounts][0]!,
    async send(payload: JsonObject, bytes: number, worker: (record: RequestRecord) => void = () => {}) {
      Object.assign(ask, { payload: { model: 'm', ...payload }, bytes })
      play = worker
      return app.request(`http://router${path}`, { method: 'POST' })
    },
  }
}

const usage = (prompt: number, completion: number) => (record: RequestRecord) => {
  record.usage = { prompt, completion, cached: undefined }
}

describe('what a request has used', () => {
  const asked: Amounts = [1, 300, 200]
  const failed = (outcome: string): FailedAttempt => ({
    ...{ workerId: 'w', worker: 'http://w', why: undefined, sentAt: 0, endedAt: 1 },
    outcome,
  })
  const cases: readonly (readonly [string, Partial<RequestRecord>, Amounts])[] = [
    ['what the worker has counted', { usage: { prompt: 7, completion: 9, cached: 3 } }, [1, 7, 9]],
    ['of a stream without usage, its events', { tokenEvents: 40, eventStream: true }, [1, 300, 40]],
    ['of a plain answer without usage, the estimate', {}, asked],
    [
      'nothing, when it never left the router',
      { attempts: 0, status: 429, endReason: 'queue_full' },
      [0, 0, 0],
    ],
    [
      'nothing, when no worker could be reached',
      {
        attempts: 2,
        failures: [failed('unreachable'), failed('unreachable')],
        lastFailed: true,
        status: 502,
      },
      [0, 0, 0],
    ],
    [
      'one request, when workers had no room for it',
      { attempts: 2, failures: [failed('unreachable'), failed('busy')], lastFailed: true, status: 503 },
      [1, 0, 0],
    ],
    ['one request, when the worker found fault with it', { status: 400 }, [1, 0, 0]],
    [
      'the same once, however often it was tried',
      {
        attempts: 3,
        failures: [failed('reset'), failed('reset')],
        usage: { prompt: 7, completion: 9, cached: 0 },
      },
      [1, 7, 9],
    ],
    [
      'of a client that left, its prompt and what it had got',
      { status: 499, endReason: 'client_closed', tokenEvents: 5 },
      [1, 300, 5],
    ],
    [
      'of a client that left during the prefill, its prompt',
      { status: 499, endReason: 'client_closed', stream: true },
      [1, 300, 0],
    ],
    [
      'of a client that left before the end of a plain answer, what may have been written',
      { status: 499, endReason: 'client_closed' },
      asked,
    ],
    ['of a stream that broke, what had come', { endReason: 'worker_lost', tokenEvents: 5 }, [1, 300, 5]],
    ['of a worker lost before that, the request', { status: 502, endReason: 'worker_lost' }, [1, 0, 0]],
  ]
  for (const [what, facts, expected] of cases) {
    test(what, () => {
      const record = Object.assign(new RequestRecord('POST', '/', 0), { attempts: 1, status: 200, ...facts })
      record.endReason ??= 'completed'
      assert.deepEqual(usedBy(record, asked), expected)
    })
  }
})

describe('a tenant at its limit', () => {
  test('is told which, how much it is, and when to come back; then it goes on', async () => {
    const { send, clock, told } = limited({ requestsPerMinute: 2 })
    for (let count = 0; count < 2; count++) assert.equal((await send({}, 10)).status, 200)
    const refused = await send({}, 10)
    assert.equal(refused.status, 429)
    const { error } = (await refused.json()) as { error: Record<string, unknown> }
    assert.equal(error.code, 'tenant_rate_limited')
    assert.equal(error.type, 'rate_limit_error')
    assert.equal(error.message, '"team-a" is at its limit of 2 requests per minute.')
    assert.equal(refused.headers.get('retry-after'), '30')
    assert.equal(refused.headers.get('x-ratelimit-limit-requests'), '2')
    assert.equal(refused.headers.get('x-ratelimit-remaining-requests'), '0')
    assert.equal(refused.headers.get('x-ratelimit-reset-requests'), '1m0s')
    assert.deepEqual(told, ['team-a requests'])
    clock.advance(29_000)
    assert.equal((await send({}, 10)).status, 429)
    clock.advance(1000)
    assert.equal((await send({}, 10)).status, 200)
  })

  test('of tokens is told what the request may need', async () => {
    const { send } = limited({ completionTokensPerMinute: 1000 })
    await send({ max_tokens: 900 }, 10, (record) => {
      record.live = true
    })
    const refused = await send({ max_tokens: 50, n: 4 }, 10)
    const { error } = (await refused.json()) as { error: Record<string, unknown> }
    assert.equal(
      error.message,
      '"team-a" is at its limit of 1000 completion tokens per minute; this request may need 200.',
    )
    assert.equal(refused.headers.get('retry-after'), '6')
    assert.equal(refused.headers.get('x-ratelimit-limit-tokens'), '1000')
    assert.equal(refused.headers.get('x-ratelimit-remaining-tokens'), '100')
    assert.equal(refused.headers.get('x-ratelimit-limit-requests'), null)
  })

  test('speaks Anthropic to clients of that API', async () => {
    const limits = { requestsPerMinute: 60, promptTokensPerMinute: 1000, completionTokensPerMinute: 500 }
    const { send } = limited(limits, '/v1/messages')
    const before = Date.now()
    const passed = await send({ max_tokens: 100 }, 400, usage(90, 20))
    const field = (name: string) => passed.headers.get(`anthropic-ratelimit-${name}`)
    assert.deepEqual(
      [field('requests-limit'), field('requests-remaining'), field('input-tokens-remaining')],
      ['60', '59', '900'],
    )
    assert.equal(field('output-tokens-remaining'), '400')
    const reset = Date.parse(field('output-tokens-reset') ?? '')
    assert.ok(reset >= before + 12_000 && reset <= Date.now() + 12_000, 'a time of day')
    await send({ max_tokens: 500 }, 400, (record) => {
      record.live = true
    })
    const refused = await send({ max_tokens: 500 }, 400)
    const body = (await refused.json()) as { type: string; error: Record<string, unknown> }
    assert.deepEqual([body.type, body.error.type], ['error', 'rate_limit_error'])
  })

  test('is told of the limit of tokens of which the smaller part is left', async () => {
    const { send } = limited({ promptTokensPerMinute: 1000, completionTokensPerMinute: 10_000 })
    const passed = await send({ max_tokens: 100 }, 2000)
    assert.equal(passed.headers.get('x-ratelimit-limit-tokens'), '1000')
    assert.equal(passed.headers.get('x-ratelimit-remaining-tokens'), '500')
    assert.equal(passed.headers.get('x-ratelimit-reset-tokens'), '30s')
  })
})

describe('routes', () => {
  test('that write nothing need no tokens of answers, and those that are unknown none at all', async () => {
    for (const [path, expected] of [
      ['/v1/embeddings', [1, 100, 0]],
      ['/v1/completions', [1, 100, 256]],
      ['/tokenize', [1, 0, 0]],
      ['/v9/future', [1, 0, 0]],
    ] as const) {
      const limits = { requestsPerMinute: 1000, promptTokensPerMinute: 1000, completionTokensPerMinute: 1000 }
      const { send, account } = limited(limits, path)
      await send({}, 400, (record) => {
        record.live = true
      })
      assert.deepEqual(
        [0, 1, 2].map((index) => account().used(index)),
        expected,
        path,
      )
    }
  })
})

test('whoever leaves before each plain answer pays for what was written, by the pace of the model', async () => {
  const { send, account, clock } = limited({ completionTokensPerMinute: 1e9 })
  const sentAgo = (ms: number, then: (record: RequestRecord) => void) => (record: RequestRecord) => {
    record.sentAt = clock.now() - ms
    then(record)
  }
  const used = async (...request: Parameters<typeof send>) => {
    const before = account().used(2)
    await send(...request)
    return Math.round(account().used(2) - before)
  }
  for (let count = 0; count < 20; count++) await send({ max_tokens: 900 }, 100, sentAgo(2000, usage(25, 100)))
  const leave = (record: RequestRecord) => record.end('client_closed')
  assert.equal(await used({ max_tokens: 900 }, 100, sentAgo(10_000, leave)), 500)
  assert.equal(await used({ max_tokens: 900 }, 100, sentAgo(60_000, leave)), 900)
  assert.equal(await used({ max_tokens: 900 }, 100, sentAgo(20, leave)), 1)
})

test('over 10,000 requests, half of them without usage, what was charged is what was used within 2%', async () => {
  const huge = 1e9
  const { send, account, clock, records } = limited({
    ...{ requestsPerMinute: huge, promptTokensPerMinute: huge, completionTokensPerMinute: huge },
  })
  const random = seeded(7)
  const truth = [0, 0, 0]
  // Nothing drains while the clock stands still: what is used at the end is all that was ever charged.
  const begin = clock.now()
  for (let count = 0; count < 10_000; count++) {
    const bytes = Math.round(200 * 2 ** (random() * 9))
    // Not what an estimate begins with: it has to be learnt.
    const prompt = Math.round(bytes * (0.3 + random() * 0.1))
    const completion = 1 + Math.round(random() * 400)
    const fate = random()
    const reached = fate >= 0.05
    if (reached) {
      truth[0]! += 1
      truth[1]! += prompt
      truth[2]! += completion
    }
    await send(random() < 0.5 ? { max_tokens: 400 } : {}, bytes, (record) => {
      record.eventStream = true
      // Tried again, or aborted, or never there: it counts once, with what had come until then.
      if (fate > 0.9) record.attempts = 3
      if (!reached) {
        record.attempts = 0
        record.end('queue_full')
      } else if (random() < 0.5) usage(prompt, completion)(record)
      else {
        record.tokenEvents = completion
        record.end(fate < 0.2 ? 'client_closed' : 'completed')
      }
    })
  }
  assert.equal(records.length, 10_000)
  assert.equal(clock.now(), begin)
  for (const [index, expected] of truth.entries()) {
    const charged = account().used(index)
    assert.ok(
      Math.abs(charged / expected - 1) < 0.02,
      `amount ${index}: ${charged} charged, ${expected} used`,
    )
  }
  assert.equal(account().used(0), truth[0])
  assert.equal(account().inFlight, 0)
})
