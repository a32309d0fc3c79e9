import type { Clock } from '../runtime/clock.ts'
import type { HeaderFields, HttpClient } from '../upstream/http-client.ts'
import { ask } from './ask.ts'
import { contextOf, parseModelList, takeModelList } from './model-list.ts'
import type { Pool } from './pool.ts'
import type { ModelEntry, Worker } from './worker.ts'

/** Milliseconds that a request waits at most for the lists of all workers. */
const longestLookMs = 1000
/** Milliseconds between two looks: so long for each worker, and a second at least. Clients can make up names. */
const lookPauseMs = 10

export interface ModelDirectoryOptions {
  readonly pool: Pool
  readonly client: HttpClient
  readonly clock: Clock
  /** The router's own key, where it has one. */
  readonly headers: HeaderFields
  /** A worker does not take the router's key any more. */
  readonly onKeyRefused: (worker: Worker) => void
}

/** It has never listed its models, since the router has no key that it takes. */
export function hidesModels({ modelsLocked, models }: Worker): boolean {
  return modelsLocked && models === undefined
}

/**
 * Who serves which model, between two probes: what answers tell of it, and a second look at the lists as soon as they
 * prove to be behind. An adapter is found at its first use, and a worker that serves another model now costs nobody a
 * failure.
 */
export class ModelDirectory {
  readonly #options: ModelDirectoryOptions
  #look: Promise<void> | undefined
  #lookedAt = Number.NEGATIVE_INFINITY
  /** Workers whose list is being read. */
  readonly #reading = new Set<Worker>()

  constructor(options: ModelDirectoryOptions) {
    this.#options = options
  }

  /** All have listed their models, and none has this one: it may have been loaded a moment ago, so they are asked again. */
  lookAgain(): Promise<void> {
    const { pool, clock } = this.#options
    const pause = Math.max(longestLookMs, pool.workers.length * lookPauseMs)
    if (this.#look === undefined && clock.now() - this.#lookedAt >= pause) {
      this.#lookedAt = clock.now()
      this.#look = this.#readAll().finally(() => {
        this.#look = undefined
      })
    }
    return this.#look ?? Promise.resolve()
  }

  async #readAll(): Promise<void> {
    const { pool, clock } = this.#options
    const all = Promise.all(pool.workers.map((worker) => this.#read(worker)))
    let cancelTimer = (): void => {}
    const late = new Promise<void>((resolve) => {
      cancelTimer = clock.after(longestLookMs, resolve)
    })
    await Promise.race([all, late])
    cancelTimer()
  }

  async #read(worker: Worker): Promise<void> {
    if (this.#reading.has(worker) || worker.health.name !== 'healthy') return
    this.#reading.add(worker)
    const { headers } = this.#options
    takeModelList(worker, await this.#ask(worker, headers))
    this.#reading.delete(worker)
  }

  #ask(worker: Worker, headers: HeaderFields) {
    const { client, clock } = this.#options
    return ask(worker, '/v1/models', { client, clock, headers, timeoutMs: longestLookMs })
  }

  /** A worker has answered that it does not have a model. */
  missing(worker: Worker, model: string): void {
    if (worker.models?.has(model)) void this.#read(worker)
    // Not of names that nobody is known to have: clients can make up any number of them.
    else if (worker.models === undefined && this.#options.pool.knows(model)) worker.learnModel(model, false)
  }

  /** Those whose context for this model is no longer than this worker's; undefined where that is nobody or everyone. */
  noLonger(worker: Worker, model: string): readonly Worker[] | undefined {
    const tokens = contextOf(worker, model)
    if (tokens === undefined) return undefined
    const { workers } = this.#options.pool
    const short = workers.filter((other) => (contextOf(other, model) ?? 0) <= tokens)
    return short.length < workers.length ? short : undefined
  }

  /** A worker has answered for a model that it does not list: it lists none, or has loaded it for this request. */
  served(workerId: string | undefined, model: string): void {
    const worker = workerId === undefined ? undefined : this.#options.pool.withId(workerId)
    if (worker === undefined) return
    if (worker.models === undefined) worker.learnModel(model, true)
    else void this.#read(worker)
  }

  /** A worker has refused the router's own key: it gets nothing more until it takes it again. */
  refusedKey(worker: Worker, status: number): void {
    if (worker.keyRefused) return
    worker.keyRefused = true
    worker.noteError(`refuses the router's key (status ${status}): give both the same --api-key`)
    this.#options.onKeyRefused(worker)
  }

  /** What those workers list for a client that hide their models from the router; undefined of one that refuses. */
  hiddenLists(key: HeaderFields): Promise<readonly (readonly ModelEntry[] | undefined)[]> {
    return Promise.all(
      this.#options.pool.workers.filter(hidesModels).map(async (worker) => {
        const answer = await this.#ask(worker, key)
        return 'failed' in answer || answer.status !== 200 ? undefined : parseModelList(answer.body)
      }),
    )
  }
}
