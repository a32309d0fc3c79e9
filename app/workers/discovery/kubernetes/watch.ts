import type { Clock } from '../../../runtime/clock.ts'
import type { ByteReader, PendingAnswer } from '../../../upstream/http-client.ts'
import { type ApiObject, compareVersions, isApiObject } from './api-object.ts'
import { ApiFault, type ApiServer, faultIn, faultOf } from './api-server.ts'
import { Nap } from './nap.ts'
import type { Change } from './object-store.ts'
import { abortAfter, readLines } from './read-answer.ts'

export interface WatchOptions {
  readonly api: ApiServer
  readonly path: string
  readonly query: Readonly<Record<string, string>>
  readonly clock: Clock
  readonly random: () => number
  readonly timeoutMs?: number
  readonly events: {
    alive(): void
    failed(activity: 'watch', reason: string): void
    recovered(activity: 'watch'): void
  }
}

export interface WatchTarget {
  newBackoff(): () => number
  /** Returns whether the event was news. */
  apply(change: Change, object: ApiObject): boolean
  /** Called once for all the news that came together. */
  changed(): void
  /** The history that the watch needs is gone; `from` must be called with the version of a new list. */
  expired(): void
}

/** Seconds that a watch is asked for; between one and two times as many, so that many routers do not reconnect at once. */
const watchSeconds = 300
/** Milliseconds beyond that after which the connection must be dead. */
const overdueMs = 30_000
/** Milliseconds. A watch that ends sooner and has said nothing was none. */
const shortestMs = 1000

interface WatchEvent {
  readonly type?: string
  readonly object?: unknown
}

/** A watch that is opened again whenever it ends, at the place in history where it ended. */
export class Watch {
  readonly #options: WatchOptions
  readonly #target: WatchTarget
  readonly #nap: Nap
  #backoff: () => number
  #stopped = false
  /** The version after which events are wanted. */
  #place: string | undefined
  /** Sleeping until `from` is called. */
  #lost = false
  /** Counts the calls of `from`. */
  #turn = 0
  #pending: PendingAnswer | undefined

  constructor(options: WatchOptions, target: WatchTarget) {
    this.#options = options
    this.#target = target
    this.#nap = new Nap(options.clock)
    this.#backoff = target.newBackoff()
  }

  get hasPlace(): boolean {
    return this.#place !== undefined
  }

  start(): void {
    void this.#keepWatching()
  }

  /** Events after this version, from now on. */
  from(version: string): void {
    this.#place = version
    this.#turn += 1
    this.#pending?.abort()
    // A pause after a failure is not cut short: the next watch begins at the new place anyway.
    if (this.#lost) this.#nap.wake()
  }

  stop(): void {
    this.#stopped = true
    this.#nap.end()
    this.#pending?.abort()
  }

  async #keepWatching(): Promise<void> {
    while (!this.#stopped) {
      this.#lost = this.#place === undefined
      await this.#nap.for(
        this.#place === undefined ? Number.POSITIVE_INFINITY : await this.#watch(this.#place),
      )
    }
  }

  /** One watch from its beginning to its end. Returns the milliseconds until the next. */
  async #watch(place: string): Promise<number> {
    const { clock, events } = this.#options
    const turn = this.#turn
    let openedAt = Number.POSITIVE_INFINITY
    let spoke = false
    let fault: unknown
    let cancelTimer = (): void => {}
    try {
      const seconds = Math.round(watchSeconds * (1 + this.#options.random()))
      const body = await this.#open(place, seconds)
      openedAt = clock.now()
      cancelTimer = clock.after(seconds * 1000 + overdueMs, () => body.cancel())
      for await (const lines of readLines(body)) {
        this.#read(lines)
        spoke = true
      }
    } catch (error) {
      fault = error
    } finally {
      cancelTimer()
      this.#pending?.abort()
      this.#pending = undefined
    }
    if (this.#stopped || turn !== this.#turn) return 0
    // Servers, and what lies between, end watches as they like; that is no failure as long as the next one works.
    const lived = spoke || clock.now() - openedAt >= shortestMs
    if (lived) this.#backoff = this.#target.newBackoff()
    if (fault instanceof ApiFault) return this.#refused(fault)
    if (!lived) events.failed('watch', fault instanceof Error ? fault.message : 'it ended at once')
    return this.#backoff()
  }

  #refused(fault: ApiFault): number {
    if (fault.status === 410) {
      this.#place = undefined
      this.#target.expired()
    } else {
      this.#options.events.failed('watch', fault.message)
    }
    return Math.max(this.#backoff(), fault.retryAfterMs)
  }

  async #open(place: string, seconds: number): Promise<ByteReader> {
    const { api, path, query, clock, timeoutMs = 10_000, events } = this.#options
    const pending = await api.ask(path, {
      ...query,
      watch: 'true',
      allowWatchBookmarks: 'true',
      resourceVersion: place,
      timeoutSeconds: String(seconds),
    })
    this.#pending = pending
    if (this.#stopped) pending.abort()
    const body = await abortAfter({ clock, ms: timeoutMs }, pending, async () => {
      const answer = await pending.head
      if (answer.status !== 200) throw await faultOf(answer)
      return answer.body
    })
    events.alive()
    events.recovered('watch')
    return body
  }

  #read(lines: readonly string[]): void {
    let news = false
    try {
      for (const line of lines) {
        const { type, object } = JSON.parse(line) as WatchEvent
        if (type === 'ERROR') throw faultIn(object)
        news = this.#take(type, object) || news
      }
    } finally {
      this.#options.events.alive()
      if (news) this.#target.changed()
    }
  }

  #take(type: string | undefined, object: unknown): boolean {
    // A bookmark's object has a version and nothing else.
    const version = (object as { metadata?: { resourceVersion?: unknown } } | null)?.metadata?.resourceVersion
    if (typeof version === 'string') this.#advance(version)
    if (type !== 'ADDED' && type !== 'MODIFIED' && type !== 'DELETED') return false
    return isApiObject(object) && this.#target.apply(type, object)
  }

  #advance(version: string): void {
    if (this.#place === undefined || (compareVersions(version, this.#place) ?? 1) > 0) this.#place = version
  }
}
