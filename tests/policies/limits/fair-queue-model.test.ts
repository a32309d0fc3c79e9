import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { RouterError } from '../../../http/errors.ts'
import type { Standing } from '../../../http/priority.ts'
import { type PriorityClass, priorityClasses } from '../../../http/tenant.ts'
import { AdmissionQueue } from '../../../policies/limits/admission-queue.ts'
import type { Slot } from '../../../policies/limits/slots.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { PlainRoom } from '../../support/plain-room.ts'

/**
 * Random histories of arrivals of tenants and classes, ends, departures and time, run against the queue and against rules
 * that are read off an array.
 */
type Step =
  | { readonly do: 'arrive'; readonly standing: Standing; readonly count: number }
  | { readonly do: 'release'; readonly pick: number }
  | { readonly do: 'abort'; readonly pick: number }
  | { readonly do: 'wait'; readonly ms: number }
  | { readonly do: 'cap'; readonly value: number; readonly kept: number }

const weights = { a: 1, b: 2, c: 0.5 } as const
const standing: fc.Arbitrary<Standing> = fc
  .tuple(fc.constantFrom('a', 'b', 'c', undefined), fc.constantFrom(...priorityClasses))
  .map(([tenant, priority]) => ({ tenant, priority, weight: tenant === undefined ? 1 : weights[tenant] }))
const pick = fc.nat(20)
/** How many may run, and of these how many only of the class `high`. */
const cap = fc
  .integer({ min: 1, max: 4 })
  .chain((value) => fc.record({ value: fc.constant(value), kept: fc.nat(value - 1) }))
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('arrive' as const),
      standing,
      count: fc.constantFrom(1, 1, 1, 1, 20),
    }),
  },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('release' as const), pick }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('abort' as const), pick }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.nat(30) }) },
  { weight: 1, arbitrary: cap.map((given) => ({ do: 'cap' as const, ...given })) },
)

const queueTimeoutMs = 200
const agingMs = 40

interface Arrival {
  readonly id: number
  readonly standing: Standing
  readonly at: number
  readonly client: AbortController
  outcome: string
  expected: string
  slot?: Slot
}

class History {
  readonly clock = new ManualClock()
  readonly arrivals: Arrival[] = []
  /** In the order of their turns. */
  readonly admitted: Arrival[] = []
  readonly expected: Arrival[] = []
  readonly #queue: AdmissionQueue
  readonly #room: PlainRoom<Arrival>
  #cap: number
  #kept: number
  readonly shed: string[] = []

  constructor({ value: cap, kept }: { readonly value: number; readonly kept: number }, queueSize: number) {
    this.#cap = cap
    this.#kept = kept
    const rejected = (reason: string) => {
      if (reason === 'shed') this.shed.push(reason)
    }
    const observe = { rejected }
    const bounds = { maxConcurrent: cap, keptForHigh: kept, queueSize, agingMs, queueTimeoutMs }
    this.#queue = new AdmissionQueue({ ...bounds, clock: this.clock, observe })
    this.#room = new PlainRoom({ size: queueSize, agingMs })
  }

  get running(): Arrival[] {
    return this.arrivals.filter((one) => one.expected === 'running')
  }

  run(next: Step): void {
    if (next.do === 'arrive') for (let nth = 0; nth < next.count; nth++) this.#arrive(next.standing)
    else if (next.do === 'release') this.release(this.running[next.pick % this.running.length])
    else if (next.do === 'abort') this.#abort(this.#room.waiting[next.pick % this.#room.waiting.length])
    else if (next.do === 'wait') this.#wait(next.ms)
    else this.#limit(next.value, next.kept)
  }

  /** Whether there is a slot for a request of this class. */
  #isFreeFor(priority: PriorityClass): boolean {
    const running = this.running
    if (running.length >= this.#cap) return false
    const lower = running.filter((one) => one.standing.priority !== 'high')
    return priority === 'high' || lower.length < this.#cap - this.#kept
  }

  #limit(cap: number, kept: number): void {
    this.#cap = cap
    this.#kept = kept
    this.#giveTurns()
    this.#queue.setCap({ maxConcurrent: cap, keptForHigh: kept })
  }

  #giveTurns(): void {
    while (this.running.length < this.#cap) {
      const next = this.#room.takeTurn(this.clock.now(), this.#isFreeFor('low') ? 'low' : 'high')
      if (next === undefined) return
      this.#admit(next)
    }
  }

  #arrive(standing: Standing): void {
    const arrival: Arrival = {
      ...{ id: this.arrivals.length, standing, at: this.clock.now(), client: new AbortController() },
      ...{ outcome: 'waiting', expected: 'waiting' },
    }
    this.arrivals.push(arrival)
    if (this.#isFreeFor(standing.priority)) this.#admit(arrival)
    else this.#seat(arrival)
    const outlook = this.#queue.outlook(standing)
    const got = this.#queue.enter(arrival.client.signal, standing)
    const told = { running: 'admitted', waiting: 'waits', queue_full: 'queue_full' }[arrival.expected]
    assert.equal(outlook instanceof RouterError ? outlook.code : outlook, told, 'it was told before')
    Promise.resolve(got).then(
      (slot) => {
        arrival.outcome = 'running'
        arrival.slot = slot
        this.admitted.push(arrival)
      },
      (error: unknown) => {
        assert.ok(error instanceof RouterError)
        assert.equal(arrival.outcome, 'waiting', 'one outcome only')
        arrival.outcome = error.code
      },
    )
  }

  #seat(arrival: Arrival): void {
    const place = this.#room.placeFor(arrival)
    if (place === false) {
      arrival.expected = 'queue_full'
      return
    }
    if (place !== true) {
      this.#room.leave(place)
      place.expected = 'queue_full'
    }
    this.#room.join(arrival)
  }

  release(arrival: Arrival | undefined): void {
    if (arrival === undefined) return
    arrival.expected = 'released'
    arrival.outcome = 'released'
    this.#giveTurns()
    arrival.slot?.release()
  }

  #admit(arrival: Arrival): void {
    arrival.expected = 'running'
    this.expected.push(arrival)
  }

  #abort(arrival: Arrival | undefined): void {
    if (arrival === undefined) return
    this.#room.leave(arrival)
    arrival.expected = 'client_closed'
    arrival.client.abort()
  }

  #wait(ms: number): void {
    this.clock.advance(ms)
    for (const one of this.#room.waiting.filter(({ at }) => this.clock.now() - at >= queueTimeoutMs)) {
      this.#room.leave(one)
      one.expected = 'queue_timeout'
    }
  }

  check(): void {
    const queue = this.#queue
    assert.deepEqual(
      this.arrivals.map(({ outcome }) => outcome),
      this.arrivals.map(({ expected }) => expected),
    )
    assert.deepEqual(
      this.admitted.map(({ id }) => id),
      this.expected.map(({ id }) => id),
      'turns in the same order',
    )
    assert.equal(queue.inFlight, this.running.length)
    assert.equal(queue.queueDepth, this.#room.waiting.length)
    assert.equal(this.clock.pending, this.#room.waiting.length, 'a timer per waiter and none left over')
    for (const { standing } of this.#room.waiting)
      assert.ok(
        !this.#isFreeFor(standing.priority),
        `no ${standing.priority} waits while there is a slot for it`,
      )
  }

  /** Of the same tenant and class, none has overtaken one that came before it. */
  checkFirstCome(): void {
    const last = new Map<string, number>()
    for (const { id, standing } of this.admitted) {
      const flow = `${standing.priority} ${standing.tenant}`
      assert.ok(id > (last.get(flow) ?? -1), 'first come, first served')
      last.set(flow, id)
    }
  }
}

test('whatever happens, turns go by class, tenant and age as the rules say, and no slot is lost', async () => {
  const bounds = fc.tuple(
    cap,
    // From 25 on, a class keeps a place.
    fc.constantFrom(0, 1, 2, 3, 6, 9, 26, 51),
  )
  let shed = 0
  await fc.assert(
    fc.asyncProperty(bounds, fc.array(step, { maxLength: 100, size: 'max' }), async (given, steps) => {
      const history = new History(given[0], given[1])
      for (const each of steps) {
        history.run(each)
        await settled()
        history.check()
      }
      history.checkFirstCome()
      shed += history.shed.length
      while (history.running.length > 0) {
        history.release(history.running[0])
        await settled()
        history.check()
      }
      assert.equal(history.clock.pending, 0)
    }),
    { numRuns: 150 },
  )
  assert.ok(shed > 50, 'places were taken from lower classes')
})

/** Promises of the queue settle within a few microtasks, no timers involved. */
async function settled(): Promise<void> {
  for (let i = 0; i < 5; i++) await Promise.resolve()
}
