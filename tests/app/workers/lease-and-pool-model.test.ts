import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Lease } from '../../../app/workers/lease.ts'
import type { Worker } from '../../../app/workers/worker.ts'
import type { Outcome } from '../../../policies/resilience/outcome.ts'
import { AppClock } from '../../support/app-clock.ts'
import { requestFor, testPool } from '../../support/pool.ts'

/** Random histories of requests, operators and time, run against a pool; what it does is compared with the rules. */
type Step =
  | { readonly do: 'add' | 'remove' | 'drain' | 'serve' | 'fall' | 'recover'; readonly pick: number }
  | { readonly do: 'acquire'; readonly tried: readonly number[]; readonly model: string | undefined }
  | { readonly do: 'end' | 'judge' | 'settle'; readonly pick: number; readonly outcome: Outcome }
  | { readonly do: 'cool'; readonly pick: number; readonly ms: number }
  | { readonly do: 'list'; readonly pick: number; readonly models: readonly string[] }
  | { readonly do: 'wait'; readonly ms: number }

const pick = fc.nat(20)
const model = fc.constantFrom('a', 'b')
const outcome = fc.constantFrom<Outcome>('success', 'failure', 'neutral')
const operator = fc.constantFrom('add', 'remove', 'drain', 'serve', 'fall', 'recover')

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('acquire' as const),
      tried: fc.array(pick, { maxLength: 3 }),
      model: fc.option(model, { nil: undefined }),
    }),
  },
  { weight: 7, arbitrary: fc.record({ do: fc.constantFrom('end', 'judge', 'settle'), pick, outcome }) },
  { weight: 3, arbitrary: fc.record({ do: operator, pick }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('cool' as const), pick, ms: fc.nat(300) }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('list' as const), pick, models: fc.subarray(['a', 'b', 'c']) }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.nat(200) }) },
)

const maxInFlight = 3

interface Held {
  readonly lease: Lease
  ended: boolean
  judged: Outcome | undefined
}

/** A pool, every worker it ever had and every lease it ever gave. */
class History {
  readonly #clock = new AppClock()
  readonly #made = testPool({ clock: this.#clock, maxInFlightPerWorker: maxInFlight })
  readonly #workers: Worker[] = []
  readonly #leases: Held[] = []

  run(step: Step): void {
    if (step.do === 'acquire') this.#acquire(step)
    else if (step.do === 'end' || step.do === 'judge' || step.do === 'settle') this.#close(step)
    else if (step.do === 'wait') this.#clock.advance(step.ms)
    else if (step.do !== 'add') this.#operate(step)
    else if (this.#workers.length < 8) {
      this.#workers.push(this.#made.addHealthy(`http://w${this.#workers.length}`))
    }
  }

  #operate(step: Exclude<Step, { do: 'acquire' } | { do: 'wait' }>): void {
    const worker = this.#workers[step.pick % this.#workers.length]
    if (worker === undefined) return
    if (step.do === 'remove') {
      if (!worker.removed) this.#made.pool.remove(worker)
    } else if (step.do === 'drain') worker.draining = true
    else if (step.do === 'serve') worker.draining = false
    else if (step.do === 'fall') worker.health = { name: 'unhealthy', reason: 'refused', cause: 'refused' }
    else if (step.do === 'recover') worker.health = { name: 'healthy' }
    else if (step.do === 'cool') {
      worker.refuse(step.ms)
    } else if (step.do === 'list') worker.listModels(step.models.map((id) => ({ id })))
  }

  #acquire({ tried: picks, model }: Extract<Step, { do: 'acquire' }>): void {
    const tried = new Set(picks.flatMap((at) => this.#workers[at] ?? []))
    const allowed = this.#allowed(model, tried)
    const lease = this.#made.pool.acquire(requestFor(model), tried.size === 0 ? undefined : { tried })
    assert.equal(lease !== undefined, allowed.length > 0, 'a lease exactly when somebody may have it')
    if (lease === undefined) return
    assert.ok(allowed.includes(lease.worker), `${lease.worker.url} may not have it`)
    this.#leases.push({ lease, ended: false, judged: undefined })
  }

  #allowed(model: string | undefined, tried: ReadonlySet<Worker>): Worker[] {
    const able = this.#able(model).filter((worker) => !tried.has(worker))
    const ready = able.filter((worker) => worker.lastChoice === undefined)
    if (ready.length > 0) return ready
    const soonest = Math.min(...able.map(({ standBack }) => standBack.remainingMs))
    return able.filter(({ standBack }) => standBack.remainingMs === soonest)
  }

  /** The rules, written down once more. */
  #able(model: string | undefined): Worker[] {
    return this.#workers.filter(
      (worker) =>
        !worker.removed &&
        !worker.draining &&
        worker.health.name === 'healthy' &&
        this.#openOn(worker) < maxInFlight &&
        (model === undefined || worker.models === undefined || worker.models.has(model)),
    )
  }

  #close(step: Extract<Step, { do: 'end' | 'judge' | 'settle' }>): void {
    const held = this.#leases[step.pick % this.#leases.length]
    if (held === undefined) return
    if (step.do === 'end') held.lease.end()
    else held.lease[step.do](step.outcome)
    if (step.do !== 'judge') held.ended = true
    if (step.do !== 'end') held.judged ??= step.outcome
  }

  #openOn(worker: Worker): number {
    return this.#leases.filter(({ lease, ended }) => lease.worker === worker && !ended).length
  }

  check(): void {
    const { pool, reports } = this.#made
    assert.deepEqual(
      pool.workers,
      this.#workers.filter((worker) => !worker.removed),
    )
    for (const worker of this.#workers) {
      assert.equal(worker.inFlight, this.#openOn(worker))
      assert.equal(reports.inFlight.get(worker) ?? 0, worker.inFlight)
      const verdicts = this.#leases.filter(({ lease, judged }) => lease.worker === worker && judged)
      assert.equal(reports.outcomes.get(worker)?.length ?? 0, verdicts.length, 'one verdict a lease')
    }
    assert.equal(reports.lowest, 0, 'never below zero')
    assert.equal(pool.availableCount, this.#able(undefined).length)
  }

  /** Ends everything that is open. */
  end(): void {
    for (const { lease } of this.#leases) lease.settle('neutral')
    for (const worker of this.#workers) assert.equal(worker.inFlight, 0)
    assert.equal(this.#made.reports.startedInAll, this.#leases.length)
    assert.equal(this.#made.reports.endedInAll, this.#leases.length)
  }
}

test('whatever happens, requests go where they may and the books are right', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120, size: 'max' }), (steps) => {
      const history = new History()
      for (let i = 0; i < 3; i++) history.run({ do: 'add', pick: 0 })
      for (const each of steps) {
        history.run(each)
        history.check()
      }
      history.end()
    }),
    { numRuns: 300 },
  )
})
