import type { Clock } from '../../runtime/clock.ts'
import type { Member, Source, SourceReport } from '../source.ts'

export interface DiscoveryEvents {
  /** A source is in trouble. Told each time; `first` when it was well before, or was in trouble for another reason. */
  sourceFailed(source: string, activity: string, reason: string, first: boolean): void
  sourceRecovered(source: string, activity: string): void
}

export interface DiscoveryOptions {
  readonly sources: readonly Source[]
  /** Takes the whole set of a source, in place of the one before. */
  readonly assign: (source: string, members: readonly Member[]) => void
  readonly clock: Clock
  readonly events: DiscoveryEvents
}

export interface SourceStatus {
  readonly source: string
  /** Milliseconds since there was contact with it, or since the start; undefined for one that cannot grow old. */
  readonly ageMs: number | undefined
}

/** Runs the sources of membership, and keeps what is to be known about each. */
export class Discovery {
  readonly #options: DiscoveryOptions
  readonly #watched: readonly WatchedSource[]

  constructor(options: DiscoveryOptions) {
    this.#options = options
    this.#watched = options.sources.map((source) => new WatchedSource(source, options))
  }

  start(): void {
    for (const watched of this.#watched) watched.start()
  }

  /** Ends all looking; the workers that were found stay. */
  stop(): void {
    for (const watched of this.#watched) watched.stop()
  }

  /** Some source has been started and has not said yet whom it knows. */
  get isStarting(): boolean {
    return this.#watched.some(({ isStarting }) => isStarting)
  }

  status(): readonly SourceStatus[] {
    const now = this.#options.clock.now()
    return this.#watched.map(({ source, aliveAt }) => ({
      source: source.name,
      ageMs: source.fixed === true ? undefined : now - aliveAt,
    }))
  }
}

/** One source and its state. After `stop`, a late word of the source counts no more. */
class WatchedSource implements SourceReport {
  readonly source: Source
  readonly #options: DiscoveryOptions
  readonly #troubles = new Map<string, string>()
  #running = false
  #hasReported = false
  aliveAt: number

  constructor(source: Source, options: DiscoveryOptions) {
    this.source = source
    this.#options = options
    this.aliveAt = options.clock.now()
  }

  start(): void {
    this.#running = true
    this.aliveAt = this.#options.clock.now()
    this.source.start(this)
  }

  stop(): void {
    this.#running = false
    this.source.stop()
  }

  get isStarting(): boolean {
    return this.#running && !this.#hasReported
  }

  readonly found = (members: readonly Member[]): void => {
    this.#hasReported = true
    if (this.#running) this.#options.assign(this.source.name, members)
  }

  readonly alive = (): void => {
    this.aliveAt = this.#options.clock.now()
  }

  readonly failed = (activity: string, reason: string): void => {
    if (!this.#running) return
    const first = this.#troubles.get(activity) !== reason
    this.#troubles.set(activity, reason)
    this.#options.events.sourceFailed(this.source.name, activity, reason, first)
  }

  readonly recovered = (activity: string): void => {
    if (this.#running && this.#troubles.delete(activity))
      this.#options.events.sourceRecovered(this.source.name, activity)
  }
}
