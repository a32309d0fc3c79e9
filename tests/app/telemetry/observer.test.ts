/** What happens becomes metrics and lines of the log: the right ones, and none that stay for ever. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import pino from 'pino'
import type { AttemptFailure } from '../../../app/relay/attempt-failure.ts'
import type { Call } from '../../../app/relay/call.ts'
import type { EndReason, RequestRecord } from '../../../app/request/request-record.ts'
import { Accounting } from '../../../app/telemetry/accounting.ts'
import { exposition } from '../../../app/telemetry/exposition.ts'
import { silentLog } from '../../../app/telemetry/log.ts'
import { createMetrics } from '../../../app/telemetry/metrics.ts'
import { Observer } from '../../../app/telemetry/observer.ts'
import { Pool } from '../../../app/workers/pool.ts'
import { roundRobin } from '../../../policies/selection/round-robin.ts'
import { AppClock } from '../../support/app-clock.ts'
import { requestFor } from '../../support/pool.ts'

function observed() {
  const clock = new AppClock()
  const metrics = createMetrics()
  const observer = new Observer({ metrics, log: silentLog(), policy: 'round_robin' })
  const pool = new Pool({
    policy: roundRobin({ random: () => 0 }),
    createBreaker: () => undefined,
    maxInFlightPerWorker: Number.POSITIVE_INFINITY,
    now: () => clock.now(),
    random: () => 0.5,
    events: observer,
  })
  const text = async () => {
    observer.refreshGauges(pool, 0)
    return (await exposition(metrics)).text
  }
  return { pool, observer, text }
}

describe('a worker that is removed', () => {
  test('takes all its series with it, those of a request that ends later too', async () => {
    const { pool, text } = observed()
    const worker = pool.add('http://gone:8000')
    worker.health = { name: 'healthy' }
    const leases = [pool.acquire(requestFor()), pool.acquire(requestFor()), pool.acquire(requestFor())]
    leases[0]?.settle('success')
    worker.refuse(1000)
    assert.match(await text(), /policy_decisions_total\{[^}]*gone:8000[^}]*\} 3/)
    pool.remove(worker)
    leases[1]?.settle('failure', 'late')
    assert.doesNotMatch(await text(), /gone:8000/)
    leases[2]?.settle('neutral')
    assert.doesNotMatch(await text(), /gone:8000/)
  })

  test('does not come back with a refusal that arrives later', async () => {
    const { pool, observer, text } = observed()
    const worker = pool.add('http://gone:8000')
    const record = new Accounting({ metrics: createMetrics(), log: silentLog(), clock: new AppClock() }).open(
      'POST',
      '/v1/chat/completions',
    )
    const refuse = () =>
      observer.attemptFailed({ record } as Call, worker, {
        details: { fault: 'busy', reason: 'status 503' },
      } as AttemptFailure)
    refuse()
    assert.match(await text(), /refusals_total\{[^}]*gone:8000[^}]*\} 1/)
    pool.remove(worker)
    refuse()
    assert.doesNotMatch(await text(), /gone:8000/)
    record.end('completed')
  })
})

describe('the line on a request', () => {
  function written(change: (record: RequestRecord) => void, end: EndReason): string[] {
    const lines: string[] = []
    const log = pino({ level: 'debug' }, { write: (line) => void lines.push(line) })
    const clock = new AppClock()
    const accounting = new Accounting({ metrics: createMetrics(), log, clock })
    const record = accounting.open('POST', '/v1/chat/completions')
    record.route = '/v1/chat/completions'
    record.status = 200
    change(record)
    record.end(end)
    return lines.map((line) => {
      const { level, end_reason } = JSON.parse(line) as { level: number; end_reason: string }
      return `${pino.levels.labels[level]} ${end_reason}`
    })
  }

  test('is a warning where somebody should look, and only there', () => {
    const none = (): void => {}
    assert.deepEqual(written(none, 'completed'), ['info completed'])
    assert.deepEqual(written(none, 'client_closed'), ['info client_closed'])
    assert.deepEqual(written(none, 'worker_lost'), ['warn worker_lost'])
    const failed = (record: RequestRecord) => {
      record.status = 502
    }
    assert.deepEqual(written(failed, 'completed'), ['warn completed'])
    const probe = (record: RequestRecord) => {
      record.route = '/readiness'
      record.status = 503
    }
    assert.deepEqual(written(probe, 'completed'), ['debug completed'])
  })
})
