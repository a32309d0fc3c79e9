import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Breaker, type BreakerStateName, type Permit } from '../../../policies/resilience/breaker.ts'
import type { Outcome } from '../../../policies/resilience/outcome.ts'
import { ManualClock } from '../../support/manual-clock.ts'

/**
 * Random histories of attempts that begin and end in any order, of time and of news, run against the breaker and against
 * a model of it. The rule over the share of failures has examples of its own; here it is out of reach.
 */
type Step =
  | { readonly do: 'enter' }
  /** Some attempts end within the same moment. */
  | { readonly do: 'leave'; readonly ends: readonly { readonly pick: number; readonly outcome: Outcome }[] }
  | { readonly do: 'wait'; readonly ms: number }
  | { readonly do: 'try now' }

const outcome = fc.constantFrom<Outcome>('success', 'failure', 'failure', 'neutral')
const ends = fc.array(fc.record({ pick: fc.nat(30), outcome }), { minLength: 1, maxLength: 5 })
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.constant({ do: 'enter' } as const) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('leave' as const), ends }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.constantFrom(1, 400, 1000) }),
  },
  { weight: 1, arbitrary: fc.constant({ do: 'try now' } as const) },
)

const openMs = 1000
const maxOpenMs = 4000

interface Limits {
  readonly failures: number
  readonly successes: number
}

interface Attempt {
  /** The period between two transitions in which it began. */
  readonly period: number
  readonly trial: boolean
}

/** What should be, by the rules alone. */
class Model {
  readonly #limits: Limits
  now = 0
  name: BreakerStateName = 'closed'
  period = 0
  moves: string[] = []
  #inRow = 0
  #successes = 0
  #nextOpenMs = openMs
  until = 0
  trial: Attempt | undefined

  constructor(limits: Limits) {
    this.#limits = limits
  }

  get allows(): boolean {
    return this.name === 'closed' || (this.trial === undefined && this.now >= this.until)
  }

  enter(): Attempt {
    const trial = this.name !== 'closed'
    if (this.name === 'open') {
      this.#move('half_open')
      this.#successes = 0
    }
    const attempt = { period: this.period, trial }
    if (trial) this.trial = attempt
    return attempt
  }

  leave(attempt: Attempt, outcome: Outcome): void {
    if (attempt.period !== this.period) return
    if (attempt.trial) this.trial = undefined
    if (outcome === 'neutral') return
    if (attempt.trial) this.#judgeTrial(outcome)
    else {
      this.#inRow = outcome === 'failure' ? this.#inRow + 1 : 0
      if (this.#inRow >= this.#limits.failures) this.#open()
    }
  }

  tryNow(): void {
    if (this.name !== 'open') return
    this.until = this.now
    this.#nextOpenMs = openMs
  }

  #judgeTrial(outcome: Outcome): void {
    if (outcome === 'failure') {
      this.#open()
      return
    }
    this.#successes += 1
    if (this.#successes < this.#limits.successes) return
    this.#move('closed')
    this.#inRow = 0
    this.#nextOpenMs = openMs
  }

  #open(): void {
    this.#move('open')
    this.until = this.now + this.#nextOpenMs
    this.#nextOpenMs = Math.min(this.#nextOpenMs * 2, maxOpenMs)
  }

  #move(to: BreakerStateName): void {
    this.moves.push(`${this.name} -> ${to}`)
    this.name = to
    this.period += 1
  }
}

class History {
  readonly #clock = new ManualClock()
  readonly #open: { readonly permit: Permit; readonly attempt: Attempt }[] = []
  readonly #moves: string[] = []
  readonly #breaker: Breaker
  readonly #model: Model

  constructor(limits: Limits) {
    this.#model = new Model(limits)
    this.#breaker = new Breaker({
      failureThreshold: limits.failures,
      successThreshold: limits.successes,
      openMs,
      maxOpenMs,
      failureRate: 1,
      minimumRequests: Number.POSITIVE_INFINITY,
      windowMs: 1_000_000,
      now: () => this.#clock.now(),
      // Without jitter.
      random: () => 0.5,
      onTransition: (from, to) => this.#moves.push(`${from} -> ${to}`),
    })
  }

  async run(step: Step): Promise<void> {
    if (step.do === 'enter') this.#enter()
    else if (step.do === 'leave') await this.#leave(step.ends)
    else if (step.do === 'wait') this.#wait(step.ms)
    else this.#tryNow()
    this.#check()
  }

  #enter(): void {
    if (!this.#model.allows) return
    const attempt = this.#model.enter()
    const permit = this.#breaker.enter()
    assert.equal(permit.trial, attempt.trial)
    this.#open.push({ permit, attempt })
  }

  async #leave(ends: readonly { pick: number; outcome: Outcome }[]): Promise<void> {
    const verdicts: Promise<void>[] = []
    for (const { pick, outcome } of ends) {
      const [ending] = this.#open.splice(pick % Math.max(1, this.#open.length), 1)
      if (ending === undefined) continue
      verdicts.push(this.#breaker.leave(ending.permit, outcome))
      this.#model.leave(ending.attempt, outcome)
    }
    await Promise.all(verdicts)
  }

  #wait(ms: number): void {
    this.#clock.advance(ms)
    this.#model.now += ms
  }

  #tryNow(): void {
    this.#breaker.tryNow()
    this.#model.tryNow()
  }

  #check(): void {
    const model = this.#model
    const due = model.name === 'open' && model.now >= model.until
    assert.equal(this.#breaker.allows(), model.allows)
    assert.equal(this.#breaker.state.name, due ? 'half_open' : model.name)
    assert.equal(this.#breaker.remainingMs, model.name === 'open' ? Math.max(0, model.until - model.now) : 0)
    assert.deepEqual(this.#moves, model.moves)
  }
}

test('whatever happens in whatever order, the breaker does what the model says', async () => {
  const limits = fc.record({
    failures: fc.integer({ min: 1, max: 4 }),
    successes: fc.integer({ min: 1, max: 3 }),
  })
  const steps = fc.array(step, { maxLength: 80, size: 'max' })
  await fc.assert(
    fc.asyncProperty(limits, steps, async (each, list) => {
      const history = new History(each)
      for (const one of list) await history.run(one)
    }),
    { numRuns: 500 },
  )
})
