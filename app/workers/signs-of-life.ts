/** The worker is doubted when it has been quiet for so many times its usual time to a first sign of life. */
const manyTimes = 4
/** Milliseconds below which nobody is doubted: with one request waiting, and with more. */
const leastMs = { alone: 500, several: 200 }
/** Weight of the newest time in the usual one. */
const weight = 0.1
/** Milliseconds for which a worker stays doubted whose clients have given up on it; doubles each time. */
const firstDoubtMs = 5000
const longestDoubtMs = 60_000

/** Streams show life with their first token, plain answers only when they are whole. */
export type Kind = 'stream' | 'plain'

interface Waiting {
  /** Requests that have shown no sign of life yet. */
  count: number
  /** Since when there have been any. */
  since: number
  /** Usual milliseconds to the first sign; undefined before the first one. */
  usualMs: number | undefined
}

/** What the workers of one pool share: when any of them was heard, and what is usual among them. */
export class FleetSigns {
  heardAt = Number.NEGATIVE_INFINITY
  readonly usualMs: Record<Kind, number | undefined> = { stream: undefined, plain: undefined }
}

/**
 * Says whether a worker is doubtful: quiet for four times as long as its requests usually take to a first sign of life,
 * while other workers answer. It is then the last choice. A hung engine answers its health checks, and the probes take
 * minutes to prove that its counters stand still; the requests that wait on it tell much sooner. A sign of life is what
 * only a working engine sends: content, or a whole good answer.
 */
export class SignsOfLife {
  readonly #now: () => number
  readonly #fleet: FleetSigns
  readonly #waiting: Record<Kind, Waiting> = {
    stream: { count: 0, since: 0, usualMs: undefined },
    plain: { count: 0, since: 0, usualMs: undefined },
  }
  #heardAt = Number.NEGATIVE_INFINITY
  #doubtMs = 0
  #doubtedUntil = Number.NEGATIVE_INFINITY

  constructor(now: () => number, fleet: FleetSigns) {
    this.#now = now
    this.#fleet = fleet
  }

  get heardAt(): number {
    return this.#heardAt
  }

  /** Since when requests wait without a sign of life from the worker; now, where none waits. */
  get quietSince(): number {
    const { stream, plain } = this.#waiting
    const oldest = [stream, plain].filter(({ count }) => count > 0).map(({ since }) => since)
    return oldest.length === 0 ? this.#now() : Math.max(this.#heardAt, Math.min(...oldest))
  }

  /** Requests that have shown no sign of life yet. */
  get waiting(): number {
    return this.#waiting.stream.count + this.#waiting.plain.count
  }

  /** A request has been sent. Returns when. */
  sent(kind: Kind): number {
    const now = this.#now()
    const waiting = this.#waiting[kind]
    if (waiting.count === 0) waiting.since = now
    waiting.count += 1
    return now
  }

  /** A request that was sent then has shown its first sign of life. Returns how many milliseconds that took. */
  first(kind: Kind, sentAt: number): number {
    const now = this.#now()
    this.#waiting[kind].count -= 1
    this.#doubtMs = 0
    this.#doubtedUntil = Number.NEGATIVE_INFINITY
    this.heard(now)
    const ms = now - sentAt
    this.#waiting[kind].usualMs = mean(this.#waiting[kind].usualMs, ms)
    this.#fleet.usualMs[kind] = mean(this.#fleet.usualMs[kind], ms)
    return ms
  }

  /** A request has ended without one. */
  none(kind: Kind): void {
    const now = this.#now()
    // Those that are given up together are one reason to doubt.
    if (now >= this.#doubtedUntil && this.#isQuiet(now)) {
      this.#doubtMs = Math.min(this.#doubtMs === 0 ? firstDoubtMs : this.#doubtMs * 2, longestDoubtMs)
      this.#doubtedUntil = now + this.#doubtMs
    }
    this.#waiting[kind].count -= 1
  }

  /** Content has come. */
  heard(now: number): void {
    this.#heardAt = now
    if (now > this.#fleet.heardAt) this.#fleet.heardAt = now
  }

  /** Others had better get the next request. */
  get doubtful(): boolean {
    const { stream, plain } = this.#waiting
    if (stream.count + plain.count === 0 && this.#doubtMs === 0) return false
    const now = this.#now()
    return now < this.#doubtedUntil || this.#isQuiet(now)
  }

  #isQuiet(now: number): boolean {
    return this.#isQuietIn('stream', now) || this.#isQuietIn('plain', now)
  }

  #isQuietIn(kind: Kind, now: number): boolean {
    const { count, since, usualMs = this.#fleet.usualMs[kind] } = this.#waiting[kind]
    if (count === 0 || usualMs === undefined) return false
    const quietSince = Math.max(since, this.#heardAt)
    const least = count === 1 ? leastMs.alone : leastMs.several
    if (now - quietSince < Math.max(least, manyTimes * usualMs)) return false
    // Nobody answers: then it is not this worker.
    return this.#fleet.heardAt > quietSince
  }
}

function mean(before: number | undefined, ms: number): number {
  return before === undefined ? ms : before + (ms - before) * weight
}
