/** A worker is called the same in the terminal and on the page, whatever state it is in. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { groupFailed } from '../../../app/cli/live/failed-requests.ts'
import { describeWorkers } from '../../../app/cli/worker-words.ts'
import { exampleRequest, exampleWorker } from '../../../app/operations/description/examples.ts'
import type { RequestView } from '../../../app/request/request-view.ts'
import type { WorkerState } from '../../../app/workers/worker-state.ts'

interface PageWords {
  stateOf(worker: WorkerState, fleet: { slow: Set<string>; median: number }): { readonly word: string }
  slowOnes(workers: readonly WorkerState[]): { slow: Set<string>; median: number }
  failingClients(requests: readonly RequestView[]): readonly { client: string; failed: number; of: number }[]
}

// The page is no TypeScript.
const page = '../../../app/operations/page/words.js'
const { stateOf, slowOnes, failingClients } = (await import(page)) as PageWords

const now = new Date('2026-11-28T09:20:12.000Z')
const soon = '2026-11-28T09:20:19.000Z'
const quiet = { ...exampleWorker.recent, attempts: 30, failures: 0, refusals: 0 }
const well: WorkerState = { ...exampleWorker, last_error: null, recent: quiet }
const open = { state: 'open', reason: 'status 500', until: soon } as const

const states: readonly (readonly [word: string, Partial<WorkerState>])[] = [
  ['healthy', {}],
  ['healthy', { recent: { ...quiet, refusals: 2 } }],
  ['hung', { health: 'unhealthy', health_reason: 'no answer within 5 s' }],
  ['hung', { health: 'unhealthy', health_reason: 'requests make no progress' }],
  ['hung', { last_choice: 'no_sign_of_life', waiting: { requests: 2, quiet_seconds: 40 } }],
  ['down', { health: 'unhealthy', health_reason: 'ECONNREFUSED' }],
  ['unhealthy', { health: 'unhealthy', health_reason: 'status 503' }],
  ['draining', { draining: true }],
  ['starting', { health: 'starting' }],
  ['breaker open', { breaker: open }],
  ['breaker open', { breaker: { ...open, state: 'half_open', until: null } }],
  ['busy', { last_choice: 'busy', busy_until: soon, recent: { ...quiet, refusals: 1 } }],
  ['busy', { busy_until: soon, recent: { ...quiet, refusals: 1 } }],
  // Between two pauses.
  ['busy', { recent: { ...quiet, attempts: 31, refusals: 30 } }],
  ['full', { available: false, unavailable_reason: 'full' }],
  ['failing', { recent: { ...quiet, failures: 3 } }],
  ['slow', { recent: { ...quiet, first_token_ms: { p50: 3000, p95: 4000 } } }],
]

describe('a worker is called the same by top and by the page', () => {
  for (const [word, changes] of states)
    test(`${word}: ${JSON.stringify(changes).slice(0, 80)}`, () => {
      const worker = { ...well, ...changes }
      const fleet = [worker, { ...well, id: 'b', url: 'http://b:1' }, { ...well, id: 'c', url: 'http://c:1' }]
      assert.equal(describeWorkers(fleet, now)[0]?.state, word)
      assert.equal(stateOf(worker, slowOnes(fleet)).word, word)
    })
})

describe('whose requests fail', () => {
  const failed = (tenant: string | undefined): RequestView => ({
    ...{ ...exampleRequest, tenant, client: '10.0.0.1' },
    ...{ status: 404, end_reason: 'model_not_found', error: 'no worker serves the model "made-up"' },
  })
  const requests = [failed('team-a'), failed('team-b'), failed('team-a'), failed(undefined)]

  test('tenants that come by one proxy are told apart', () => {
    assert.deepEqual(
      groupFailed(requests).map(({ count, newest }) => [newest.tenant, count]),
      [
        ['team-a', 2],
        ['team-b', 1],
        [undefined, 1],
      ],
    )
    assert.deepEqual(
      failingClients(requests).map(({ client, failed: count }) => [client, count]),
      [
        ['team-a', 2],
        ['team-b', 1],
        ['10.0.0.1', 1],
      ],
    )
  })
})
