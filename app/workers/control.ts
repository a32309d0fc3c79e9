import { RouterError } from '../../middleware/errors.ts'
import { RequestBody } from '../../middleware/request-body.ts'
import type { Clock } from '../clock.ts'
import { type HeaderFields, type HttpClient, transportError } from '../runtime/http-client.ts'
import type { WorkerRegistry } from './registry.ts'
import type { Worker } from './worker.ts'

export interface WorkerControlOptions {
  readonly registry: WorkerRegistry
  readonly client: HttpClient
  readonly clock: Clock
  /** The key for the workers. */
  readonly headers: HeaderFields
  /** Milliseconds that a new worker may take until it is healthy. */
  readonly startupTimeoutMs: number
}

/** Milliseconds between two looks at a worker that is being added. */
const lookMs = 50
/** Milliseconds that a worker may take to empty its cache. */
const flushTimeoutMs = 10_000

/** What operators do to workers. */
export class WorkerControl {
  readonly registry: WorkerRegistry
  readonly #options: WorkerControlOptions

  constructor(options: WorkerControlOptions) {
    this.registry = options.registry
    this.#options = options
  }

  /** Adds a worker and waits until it is healthy; takes it out again when that does not happen in time. */
  async addAndAwait(url: string, signal: AbortSignal): Promise<Worker> {
    const { clock, startupTimeoutMs } = this.#options
    const worker = this.registry.add(url)
    const deadline = clock.now() + startupTimeoutMs
    while (worker.health.name !== 'healthy') {
      if (worker.removed)
        throw new RouterError('invalid_request', 'the worker was removed before it was healthy')
      if (signal.aborted || clock.now() >= deadline) {
        this.registry.withdraw(worker)
        const message = `the worker was not healthy within ${startupTimeoutMs / 1000} s: ${worker.lastError?.message ?? 'no answer'}`
        throw new RouterError('invalid_request', message, { param: 'url' })
      }
      await new Promise<void>((resolve) => clock.after(lookMs, resolve))
    }
    return worker
  }

  setDraining(worker: Worker, draining: boolean): void {
    this.registry.drain(worker, draining)
  }

  /** Has every worker empty its prefix cache; vLLM does so only with its development routes on. */
  flushCaches(): Promise<{ worker: string; ok: boolean; detail: string }[]> {
    return Promise.all(this.registry.pool.workers.map((worker) => this.#flush(worker)))
  }

  async #flush(worker: Worker): Promise<{ worker: string; ok: boolean; detail: string }> {
    const { client, clock, headers } = this.#options
    const path = `${worker.pathPrefix}/reset_prefix_cache`
    const pending = client.send({
      origin: worker.origin,
      path,
      method: 'POST',
      headers,
      body: new RequestBody([]),
    })
    const cancelTimer = clock.after(flushTimeoutMs, () => pending.abort())
    try {
      const { status, body } = await pending.head
      while ((await body.read()) !== undefined) {
        // Only read to its end so that the connection can serve again.
      }
      return { worker: worker.url, ok: status < 300, detail: `status ${status}` }
    } catch (error) {
      return { worker: worker.url, ok: false, detail: transportError(error).message }
    } finally {
      cancelTimer()
    }
  }
}
