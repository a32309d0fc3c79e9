import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { RouterError } from '../../../http/errors.ts'
import { AdmissionQueue } from '../../../policies/limits/admission-queue.ts'
import type { Slot } from '../../../policies/limits/slots.ts'
import { ManualClock } from '../../support/manual-clock.ts'

/**
 * Random histories of arrivals, ends, departures, time and changed limits, run against the queue and against a model so
 * plain that it can be read: two arrays.
 */
type Step =
  | { readonly do: 'arrive' }
  | { readonly do: 'release'; readonly pick: number }
  | { readonly do: 'release again'; readonly pick: number }
  | { readonly do: 'abort'; readonly pick: number }
  | { readonly do: 'wait'; readonly ms: number }
  | { readonly do: 'cap'; readonly value: number | undefined }

const pick = fc.nat(20)
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.constant({ do: 'arrive' } as const) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('release' as const), pick }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('release again' as const), pick }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('abort' as const), pick }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.nat(60) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('cap' as const),
      value: fc.option(fc.integer({ min: 1, max: 4 }), { nil: undefined }),
    }),
  },
)

const queueSize = 3
const queueTimeoutMs = 100

type Outcome = 'waiting' | 'in flight' | 'released' | 'queue_full' | 'queue_timeout' | 'client_closed'

interface Arrival {
  readonly id: number
  readonly client: AbortController
  readonly at: number
  outcome: Outcome
  slot?: Slot
}

/** What should be: the outcome of each arrival, by the rules alone. */
class Model {
  cap: number | undefined
  now = 0
  line: Arrival[] = []
  inFlight: Arrival[] = []
  /** Ids in the order in which they were admitted. */
  admitted: number[] = []
  expected = new Map<number, Outcome>()

  constructor(cap: number) {
    this.cap = cap
  }

  arrive(arrival: Arrival): void {
    if (this.#room()) this.#admit(arrival)
    else if (this.line.length >= queueSize) this.expected.set(arrival.id, 'queue_full')
    else {
      this.line.push(arrival)
      this.expected.set(arrival.id, 'waiting')
    }
  }

  leave(arrival: Arrival, outcome: Outcome): void {
    this.line = this.line.filter((other) => other !== arrival)
    this.inFlight = this.inFlight.filter((other) => other !== arrival)
    this.expected.set(arrival.id, outcome)
    this.settle()
  }

  settle(): void {
    while (this.#room()) {
      const next = this.line.shift()
      if (next === undefined) return
      this.#admit(next)
    }
  }

  #room(): boolean {
    return this.cap === undefined || this.inFlight.length < this.cap
  }

  #admit(arrival: Arrival): void {
    this.inFlight.push(arrival)
    this.admitted.push(arrival.id)
    this.expected.set(arrival.id, 'in flight')
  }
}

class History {
  readonly clock = new ManualClock()
  readonly arrivals: Arrival[] = []
  readonly admitted: number[] = []
  readonly queue: AdmissionQueue
  readonly model: Model
  depthSeen = 0

  constructor(cap: number) {
    const depthChanged = (depth: number) => {
      this.depthSeen = depth
    }
    this.queue = new AdmissionQueue({
      maxConcurrent: cap,
      queueSize,
      queueTimeoutMs,
      clock: this.clock,
      observe: { depthChanged },
    })
    this.model = new Model(cap)
  }

  run(step: Step): void {
    if (step.do === 'arrive') this.#arrive()
    else if (step.do === 'release') this.#release(this.model.inFlight[step.pick % this.model.inFlight.length])
    else if (step.do === 'release again') this.#releaseAgain(step.pick)
    else if (step.do === 'abort') this.#abort(this.arrivals[step.pick % this.arrivals.length])
    else if (step.do === 'wait') this.#wait(step.ms)
    else this.#limit(step.value)
  }

  #limit(cap: number | undefined): void {
    this.model.cap = cap
    this.queue.setCap({ maxConcurrent: cap })
    this.model.settle()
  }

  #releaseAgain(pick: number): void {
    const released = this.arrivals.filter((one) => one.outcome === 'released')
    released[pick % released.length]?.slot?.release()
  }

  #arrive(): void {
    const id = this.arrivals.length
    const arrival: Arrival = { id, client: new AbortController(), at: this.model.now, outcome: 'waiting' }
    this.arrivals.push(arrival)
    this.model.arrive(arrival)
    const got = this.queue.enter(arrival.client.signal)
    if (!(got instanceof Promise)) this.#admit(arrival, got)
    else {
      got.then(
        (slot) => this.#admit(arrival, slot),
        (error: unknown) => {
          assert.ok(error instanceof RouterError)
          assert.equal(arrival.outcome, 'waiting', 'one outcome only')
          arrival.outcome = error.code as Outcome
        },
      )
    }
  }

  #admit(arrival: Arrival, slot: Slot): void {
    assert.equal(arrival.outcome, 'waiting', 'one outcome only')
    arrival.outcome = 'in flight'
    arrival.slot = slot
    this.admitted.push(arrival.id)
  }

  #release(arrival: Arrival | undefined): void {
    if (arrival === undefined) return
    arrival.slot?.release()
    arrival.outcome = 'released'
    this.model.leave(arrival, 'released')
  }

  #abort(arrival: Arrival | undefined): void {
    if (arrival === undefined) return
    arrival.client.abort()
    if (this.model.line.includes(arrival)) this.model.leave(arrival, 'client_closed')
  }

  #wait(ms: number): void {
    this.clock.advance(ms)
    this.model.now += ms
    const late = this.model.line.filter((one) => this.model.now - one.at >= queueTimeoutMs)
    for (const arrival of late) this.model.leave(arrival, 'queue_timeout')
  }

  check(): void {
    const { queue, model, clock } = this
    assert.deepEqual(new Map(this.arrivals.map((one) => [one.id, one.outcome])), model.expected)
    assert.deepEqual(this.admitted, model.admitted, 'first come, first served')
    assert.equal(queue.inFlight, model.inFlight.length)
    assert.equal(queue.queueDepth, model.line.length)
    assert.equal(this.depthSeen, model.line.length, 'the observer knows the depth')
    assert.equal(clock.pending, model.line.length, 'a timer per waiter and none left over')
  }
}

test('whatever happens, the queue does what the model says', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 3 }),
      fc.array(step, { maxLength: 60, size: 'max' }),
      async (cap, steps) => {
        const history = new History(cap)
        for (const each of steps) {
          const before = history.queue.inFlight
          history.run(each)
          // A lowered cap lets those in flight finish; nothing else may exceed it.
          assert.ok(history.queue.inFlight <= Math.max(before, history.queue.maxConcurrent ?? Infinity))
          await settled()
          history.check()
        }
        for (const arrival of history.arrivals) arrival.client.abort()
        await settled()
        for (const arrival of history.arrivals) arrival.slot?.release()
        await settled()
        assert.equal(history.queue.inFlight, 0)
        assert.equal(history.queue.queueDepth, 0)
        assert.equal(history.clock.pending, 0)
      },
    ),
    { numRuns: 300 },
  )
})

/** Promises of the queue settle within a few microtasks, no timers involved. */
async function settled(): Promise<void> {
  for (let i = 0; i < 5; i++) await Promise.resolve()
}
