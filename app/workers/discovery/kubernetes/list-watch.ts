import { backoffDelays } from '../../../../policies/resilience/retry.ts'
import type { Clock } from '../../../runtime/clock.ts'
import type { PendingAnswer } from '../../../upstream/http-client.ts'
import { type ApiObject, compareVersions, isApiObject } from './api-object.ts'
import { ApiFault, type ApiServer, faultOf } from './api-server.ts'
import { Nap } from './nap.ts'
import { ObjectStore } from './object-store.ts'
import { abortAfter, readText } from './read-answer.ts'
import { Watch } from './watch.ts'

export interface ListWatchOptions {
  readonly api: ApiServer
  /** Path of the collection. */
  readonly path: string
  /** What selects among its objects. */
  readonly query: Readonly<Record<string, string>>
  readonly clock: Clock
  /** Uniform in [0, 1). */
  readonly random: () => number
  /** Milliseconds between two lists; jittered. */
  readonly relistMs: number
  /** Milliseconds before the first further try after a failure, default 200, and at most, default 10000. */
  readonly firstBackoffMs?: number
  readonly maxBackoffMs?: number
  /** Milliseconds that a list, or the head of a watch, may take, default 10000. */
  readonly timeoutMs?: number
  readonly events: ListWatchEvents
}

export interface ListWatchEvents {
  /** The collection after the first list, and after each change. */
  changed(objects: readonly ApiObject[]): void
  alive(): void
  failed(activity: 'list' | 'watch', reason: string): void
  recovered(activity: 'list' | 'watch'): void
}

/**
 * Follows a collection of the Kubernetes API: a list, a watch from there on, and a list again every so often beside the
 * watch, which finds whatever a watch may miss: events that got lost, a connection that is dead and does not know it.
 */
export class ListWatch {
  readonly #options: ListWatchOptions
  readonly #store = new ObjectStore()
  readonly #watch: Watch
  readonly #nap: Nap
  #backoff: () => number
  #stopped = false
  #listing: PendingAnswer | undefined
  /** The next list must be the cluster's latest state, not just one that is not older than what is known. */
  #latest = true
  #failing = false

  constructor(options: ListWatchOptions) {
    this.#options = options
    this.#nap = new Nap(options.clock)
    this.#backoff = this.#newBackoff()
    this.#watch = new Watch(options, {
      newBackoff: () => this.#newBackoff(),
      apply: (change, object) => this.#store.apply(change, object),
      changed: () => options.events.changed(this.#store.objects),
      expired: () => this.#relistNow(),
    })
  }

  start(): void {
    void this.#keepListing()
    this.#watch.start()
  }

  stop(): void {
    this.#stopped = true
    this.#watch.stop()
    this.#nap.end()
    this.#listing?.abort()
  }

  async #keepListing(): Promise<void> {
    while (!this.#stopped) await this.#nap.for(await this.#list())
  }

  /** The watch's place in history is gone. A list that keeps failing is not asked more often for that. */
  #relistNow(): void {
    this.#latest = true
    if (!this.#failing) this.#nap.wake()
  }

  /** Returns the milliseconds until the next one. */
  async #list(): Promise<number> {
    const { events, relistMs, random } = this.#options
    try {
      const { items, version } = await this.#fetchList()
      if (this.#stopped) return 0
      this.#take(items, version)
      this.#latest = false
      this.#failing = false
      this.#backoff = this.#newBackoff()
      events.alive()
      events.recovered('list')
      return relistMs * (0.9 + 0.2 * random())
    } catch (error) {
      if (this.#stopped) return 0
      this.#latest = true
      this.#failing = true
      events.failed('list', (error as Error).message)
      return Math.max(this.#backoff(), error instanceof ApiFault ? error.retryAfterMs : 0)
    }
  }

  #take(items: readonly ApiObject[], version: string): void {
    const before = this.#store.version
    const first = before === undefined
    const begunAnew = !first && this.#latest && (compareVersions(version, before) ?? 0) < 0
    const news = begunAnew ? this.#store.reset(items, version) : this.#store.replace(items, version)
    if (news || first) this.#options.events.changed(this.#store.objects)
    // A list that knows more than the watch has told is a sign that the watch is deaf; a new one costs nothing.
    if (news || begunAnew || !this.#watch.hasPlace) this.#watch.from(version)
  }

  async #fetchList(): Promise<{ items: readonly ApiObject[]; version: string }> {
    const { api, path, query, clock, timeoutMs = 10_000 } = this.#options
    const known = this.#latest ? undefined : this.#store.version
    // Not older than what is known: the API server's own memory may answer that, without a question to etcd.
    const place = known === undefined ? {} : { resourceVersion: known, resourceVersionMatch: 'NotOlderThan' }
    const pending = await api.ask(path, { ...query, ...place })
    this.#listing = pending
    if (this.#stopped) pending.abort()
    return abortAfter({ clock, ms: timeoutMs }, pending, async () => {
      const answer = await pending.head
      if (answer.status !== 200) throw await faultOf(answer)
      return parseList(await readText(answer.body))
    })
  }

  #newBackoff(): () => number {
    const { random, firstBackoffMs = 200, maxBackoffMs = 10_000 } = this.#options
    return backoffDelays({
      maxAttempts: Number.POSITIVE_INFINITY,
      initialBackoffMs: firstBackoffMs,
      maxBackoffMs,
      multiplier: 2,
      jitter: 0.5,
      random,
    })
  }
}

function parseList(text: string): { items: readonly ApiObject[]; version: string } {
  const { items, metadata } = JSON.parse(text) as {
    items?: unknown
    metadata?: { resourceVersion?: unknown }
  }
  const version = metadata?.resourceVersion
  if (typeof version !== 'string') throw new Error('the answer is not a list')
  return { items: Array.isArray(items) ? items.filter(isApiObject) : [], version }
}
