/** The table of faults: what follows from each, held against the rules, the documentation and a run of the relay. */

import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { faultWithin, judgeAnswer, judgeFirstEvent, judgeTransport } from '../../../app/relay/judge.ts'
import { type Fault, faults, type Verdict, verdictOn } from '../../../app/relay/verdicts.ts'
import { workerError } from '../../../app/relay/worker-error.ts'
import { TransportError, type TransportFault } from '../../../app/upstream/http-client.ts'

const page = await readFile(new URL('../../../docs/errors.md', import.meta.url), 'utf8')
const rows = new Map(
  [
    ...page.matchAll(
      /^\| `(\w+)` \| ([^|]+) \| (nobody|the worker|unless alike|unless alike, if alive) \| (never|within the budget|free) \|$/gm,
    ),
  ].map(([, name = '', , blame = '', again = '']) => [name, { blame, again }]),
)

const words = {
  nobody: 'nobody',
  worker: 'the worker',
  unless_alike: 'unless alike',
  unless_alike_and_alive: 'unless alike, if alive',
  never: 'never',
  within_budget: 'within the budget',
  free: 'free',
} as const

describe('the table of faults', () => {
  test('stands in docs/errors.md as it is', () => {
    const made = faults.map((fault) => {
      const { blame, again } = verdictOn(fault)
      return [fault, { blame: words[blame], again: words[again] }] as const
    })
    assert.deepEqual([...rows], made)
  })

  test('what was never sent, or cannot be the worker alone, blames nobody', () => {
    const innocent: readonly Fault[] = [
      'unsendable',
      'no_connection_left',
      'client_mistake',
      'busy',
      'let_go',
    ]
    for (const fault of innocent) assert.equal(verdictOn(fault).blame, 'nobody', fault)
  })

  test('nothing that only may be the worker is held against it without a second opinion', () => {
    const atOnce = faults.filter((fault) => verdictOn(fault).blame === 'worker')
    assert.deepEqual(atOnce, ['unreachable'])
  })

  test('only what no worker has begun, or what a lost one has, is free', () => {
    const free = faults.filter((fault) => verdictOn(fault).again === 'free')
    assert.deepEqual(free.sort(), ['busy', 'let_go', 'shutting_down', 'unreachable'])
  })

  test('a worker may have died of the request where its connection ended, or where probes found it dead', () => {
    const deadly = faults.filter((fault) => verdictOn(fault).deadly)
    assert.deepEqual(deadly.sort(), ['connection_lost', 'let_go', 'no_content'])
  })

  test('nothing is tried again once something has reached the client', () => {
    for (const fault of [
      'broken_off',
      'fell_silent',
      'silent_at_work',
      'reported_within',
      'refused_within',
      'lost_within',
    ] as const)
      assert.equal(verdictOn(fault).again, 'never', fault)
  })
})

const transportFaults: readonly TransportFault[] = [
  'unsendable',
  'unreachable',
  'reset',
  'protocol',
  'exhausted',
  'aborted',
]
const bodies = fc.oneof(
  fc.constant('{"error":{"message":"x","type":"BadRequestError"}}'),
  fc.constant('{"error":{"message":"x","type":"InternalServerError","code":500}}'),
  fc.constant('{"error":{"message":"cannot schedule new futures after shutdown","code":500}}'),
  fc.json(),
  fc.string(),
)

describe('whatever happens has a verdict', () => {
  test('of a connection', () => {
    for (const fault of transportFaults) {
      const failure = judgeTransport(new TransportError(fault, 'X'))
      assert.deepEqual(failure.verdict, verdictOn(failure.details.fault), fault)
    }
  })

  test('of an answer: relayed, or a fault of the table whose rules hold', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 200, max: 599 }),
        bodies,
        fc.option(fc.nat(100)),
        (status, body, retryAfter) => {
          const headers = retryAfter === null ? [] : [['retry-after', String(retryAfter)] as const]
          const failure = judgeAnswer({ status, headers, body: Buffer.from(body) })
          if (failure === undefined) return
          assert.ok(faults.includes(failure.details.fault))
          const { blame }: Verdict = failure.verdict
          if (status < 500 || status === 503) assert.equal(blame, 'nobody')
          else assert.notEqual(blame, 'worker', 'no answer is held against a worker at once')
        },
      ),
    )
  })

  test('of an error event, by its number or by its words', () => {
    const word = fc.constantFrom(
      ...[
        'BadRequestError',
        'invalid_request_error',
        'context_length_exceeded',
        'NotFoundError',
        'request_too_large',
      ],
      ...[
        'InternalServerError',
        'rate_limit_error',
        'overloaded_error',
        'UnprocessableEntityError',
        'api_error',
      ],
    )
    const code = fc.oneof(fc.integer({ min: 0, max: 700 }), word, fc.constant(null), fc.string())
    fc.assert(
      fc.property(fc.record({ message: fc.string(), type: fc.oneof(word, fc.string()), code }), (error) => {
        const read = workerError(error)
        assert.ok(read.status >= 400 && read.status < 600)
        const failure = judgeFirstEvent(read, { status: 200, headers: [], body: Buffer.from('') })
        if (read.status < 500 && read.status !== 429 && read.status !== 408) assert.equal(failure, undefined)
        else assert.notEqual(failure?.verdict.blame, 'worker')
        const within = faultWithin(read.status)
        if (within !== undefined) assert.equal(verdictOn(within).again, 'never')
      }),
    )
  })

  for (const [error, status] of [
    [{ code: 400 }, 400],
    [{ code: '422' }, 422],
    [{ code: 399 }, 500],
    [{ code: 599 }, 599],
    [{ code: 600 }, 500],
    [{ code: 'context_length_exceeded' }, 400],
    [{ type: 'BadRequestError' }, 400],
    [{ type: 'Bad Request' }, 400],
    [{ type: 'invalid_request_error', code: null }, 400],
    [{ type: 'NotFoundError' }, 404],
    [{ type: 'overloaded_error' }, 503],
    [{ type: 'rate_limit_error' }, 503],
    [{ type: 'server_error', code: 'rate_limit_exceeded' }, 503],
    [{ type: 'authentication_error' }, 403],
    [{ type: 'InternalServerError' }, 500],
    [{ type: 'api_error', code: 0 }, 500],
    [{ message: 'EngineCore encountered an issue' }, 500],
  ] as const) {
    test(`${JSON.stringify(error)} is read as ${status}`, () => {
      assert.equal(workerError(error).status, status)
    })
  }
})
