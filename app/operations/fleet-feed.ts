import { version } from '../config/version.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Figures } from '../telemetry/figures.ts'
import type { ByteSink, ByteSource } from '../upstream/http-client.ts'
import type { WorkerState } from '../workers/worker-state.ts'
import { Changes } from './changes.ts'
import { type Point, pointOf, type Reading } from './rates.ts'
import type { ConfigView, RouterControl, Vitals } from './router-control.ts'

export interface FleetFeedOptions {
  readonly control: RouterControl
  readonly figures: () => Promise<Figures>
  readonly clock: Clock
}

/** Milliseconds between two looks at the router. */
const everyMs = 1000
/** Points that are kept: five minutes. */
const mostPoints = 300
/** Looks back over which rates and percentiles are taken. */
const windowLooks = 10
/** Numbers of requests in flight that are kept of each worker. */
const mostInFlight = 60
/** Requests that are shown, the newest. */
const mostRequests = 100
/** Looks that go on when nobody watches any more: whoever loads the page again finds his charts. */
const patientLooks = 60
/** Who watches at the same time, at most. */
const mostViewers = 50

/** One event of the feed. What is left out has not changed since the event before. */
export interface Frame {
  readonly at: string
  /** Changes when the router is started anew. */
  readonly started_at: string
  readonly version: string
  readonly vitals: Pick<Vitals, 'draining' | 'total' | 'available'>
  readonly figures: Figures
  /** Those since the event before; in the first event all that are kept. */
  readonly points: readonly Point[]
  /** Ids of all workers, in the order of the pool. */
  readonly order?: readonly string[]
  /** Those that have changed; without the age of their load, which follows from its time. */
  readonly workers?: readonly WorkerState[]
  /** In the first event: requests in flight of each worker, up to a minute back, the newest last. */
  readonly in_flight?: Readonly<Record<string, readonly number[]>>
  /** Those that are new or have changed, the newest first. */
  readonly requests?: readonly object[]
  readonly config?: ConfigView
}

/** What one look at the router has found. */
interface Look {
  readonly reading: Reading
  readonly vitals: Frame['vitals']
}

/**
 * What the page shows, as server-sent events. The router is looked at once a second for all viewers together, and only
 * while there are any. A viewer is asked for nothing and nothing is kept for it but the number of the look that it has
 * seen last: who reads slowly gets fewer events, each with all that has changed in the meantime.
 */
export class FleetFeed {
  readonly #options: FleetFeedOptions
  readonly #startedAt = new Date().toISOString()
  readonly #viewers = new Set<Viewer>()
  readonly #order = new Changes()
  readonly #workers = new Changes()
  readonly #requests = new Changes()
  readonly #config = new Changes()
  readonly #readings: Reading[] = []
  #points: { readonly number: number; readonly point: Point }[] = []
  #inFlight = new Map<string, number[]>()
  #number = 0
  #last: Look | undefined
  /** Why the last look has found nothing. */
  #trouble: string | undefined
  #unwatched = 0
  #cancelTimer: (() => void) | undefined
  #looking = false
  #closed = false

  constructor(options: FleetFeedOptions) {
    this.#options = options
  }

  get viewers(): number {
    return this.#viewers.size
  }

  /** Undefined: there are too many viewers already, or the router is about to end. */
  watch(): ByteSource | undefined {
    if (this.#closed || this.#viewers.size >= mostViewers) return undefined
    const viewer = new Viewer(
      (told, seen) => this.#eventSince(told, seen),
      () => this.#viewers.delete(viewer),
    )
    this.#viewers.add(viewer)
    this.#unwatched = 0
    if (!this.#looking && this.#cancelTimer === undefined) void this.#look()
    return viewer
  }

  /** Ends the feed of everyone who watches now, for instance because their key is valid no more. */
  disconnect(): void {
    for (const viewer of [...this.#viewers]) viewer.end()
  }

  /** For good. */
  close(): void {
    this.#closed = true
    this.#cancelTimer?.()
    this.disconnect()
  }

  async #look(): Promise<void> {
    this.#looking = true
    this.#cancelTimer = undefined
    try {
      await this.#collect()
      this.#trouble = undefined
    } catch (error) {
      this.#trouble = error instanceof Error ? error.message : String(error)
    }
    this.#number += 1
    this.#looking = false
    for (const viewer of this.#viewers) viewer.tell()
    this.#unwatched = this.#viewers.size === 0 ? this.#unwatched + 1 : 0
    if (this.#closed || this.#unwatched > patientLooks) return this.#forget()
    this.#cancelTimer = this.#options.clock.after(everyMs, () => void this.#look())
  }

  /** What is not looked at any more would be old when the next one comes. */
  #forget(): void {
    this.#last = undefined
    this.#points = []
    this.#readings.length = 0
    this.#inFlight.clear()
  }

  async #collect(): Promise<void> {
    const { control, figures: read, clock } = this.#options
    const [vitals, workers, requests, config, figures] = await Promise.all([
      control.vitals(),
      control.workers(),
      control.requests({ limit: mostRequests }),
      control.settings(),
      read(),
    ])
    const number = this.#number + 1
    const { draining, total, available } = vitals
    const in_flight = workers.reduce((sum, worker) => sum + worker.in_flight, 0)
    const reading = { now: clock.now(), at: new Date().toISOString(), in_flight, figures }
    this.#note(number, reading)
    this.#noteInFlight(workers)
    this.#order.update(number, [['', JSON.stringify(workers.map(({ id }) => id))]])
    this.#workers.update(
      number,
      workers.map((worker) => [worker.id, JSON.stringify(withoutAge(worker))]),
    )
    this.#requests.update(
      number,
      requests.map((request) => [`${request.request_id} ${request.at}`, JSON.stringify(request)]),
    )
    this.#config.update(number, [['', JSON.stringify(config)]])
    this.#last = { reading, vitals: { draining, total, available } }
  }

  #note(number: number, reading: Reading): void {
    const readings = this.#readings
    // After a pause, for instance of the whole machine, a rate since then would say nothing.
    if (reading.now - (readings.at(-1)?.now ?? reading.now) > 5 * everyMs) readings.length = 0
    const [before] = readings
    readings.push(reading)
    if (readings.length > windowLooks) readings.shift()
    if (before === undefined) return
    const point = pointOf(reading, before)
    this.#points.push({ number, point })
    if (this.#points.length > mostPoints) this.#points.shift()
  }

  #noteInFlight(workers: readonly WorkerState[]): void {
    const kept = new Map<string, number[]>()
    for (const { id, in_flight } of workers) {
      const numbers = this.#inFlight.get(id) ?? []
      numbers.push(in_flight)
      if (numbers.length > mostInFlight) numbers.shift()
      kept.set(id, numbers)
    }
    this.#inFlight = kept
  }

  /** What a viewer gets who was told of one look last, and has seen everything up to another. */
  #eventSince(told: number, seen: number): Event | undefined {
    const number = this.#number
    if (number <= told) return undefined
    if (this.#trouble !== undefined)
      return { told: number, seen, text: `event: trouble\ndata: ${JSON.stringify(this.#trouble)}\n\n` }
    if (this.#last === undefined) return undefined
    return { told: number, seen: number, text: `data: ${this.#frameSince(seen, this.#last)}\n\n` }
  }

  /** The workers, requests and settings are texts already. */
  #frameSince(seen: number, { reading, vitals }: Look): string {
    const head = {
      at: reading.at,
      started_at: this.#startedAt,
      version,
      vitals,
      figures: reading.figures,
      points: this.#points.filter(({ number }) => number > seen).map(({ point }) => point),
      ...(seen === 0 && { in_flight: Object.fromEntries(this.#inFlight) }),
    }
    const parts = [JSON.stringify(head).slice(0, -1)]
    const [order] = this.#order.since(seen)
    if (order !== undefined) parts.push(`"order":${order}`)
    const [config] = this.#config.since(seen)
    if (config !== undefined) parts.push(`"config":${config}`)
    for (const [name, changes] of [
      ['workers', this.#workers],
      ['requests', this.#requests],
    ] as const) {
      const texts = changes.since(seen)
      if (texts.length > 0) parts.push(`"${name}":[${texts.join(',')}]`)
    }
    return `${parts.join(',')}}`
  }
}

interface Event {
  /** Number of the look that it tells of. */
  readonly told: number
  /** Number of the look up to which all is known then. */
  readonly seen: number
  readonly text: string
}

const encoder = new TextEncoder()

/** The feed of one viewer: who takes more gets what is new since the last time. */
class Viewer implements ByteSource {
  readonly #eventSince: (told: number, seen: number) => Event | undefined
  readonly #onEnd: () => void
  #told = 0
  #seen = 0
  #sink: ByteSink | undefined
  #isFull = false
  #ended = false

  constructor(eventSince: (told: number, seen: number) => Event | undefined, onEnd: () => void) {
    this.#eventSince = eventSince
    this.#onEnd = onEnd
  }

  flow(sink: ByteSink): void {
    this.#sink = sink
    if (this.#ended) sink.end()
    else this.tell()
  }

  resume(): void {
    this.#isFull = false
    this.tell()
  }

  /** Pushes what is new. */
  tell(): void {
    while (this.#sink !== undefined && !this.#isFull && !this.#ended) {
      const event = this.#eventSince(this.#told, this.#seen)
      if (event === undefined) return
      this.#told = event.told
      this.#seen = event.seen
      this.#isFull = !this.#sink.write(encoder.encode(event.text))
    }
  }

  end(): void {
    const sink = this.#sink
    this.cancel()
    sink?.end()
  }

  cancel(): void {
    this.#sink = undefined
    this.#ended = true
    this.#onEnd()
  }
}

/** A worker without what changes at each look although nothing has happened. */
function withoutAge({ load, ...worker }: WorkerState): object {
  if (load === null) return { ...worker, load }
  const { age_seconds: _, ...rest } = load
  return { ...worker, load: rest }
}
