import { RouterError } from '../middleware/errors.ts'
import type { Lifecycle } from './lifecycle.ts'
import type { FlushResult, RouterControl, Vitals } from './router-control.ts'
import type { WorkerControl } from './workers/control.ts'
import type { Worker } from './workers/worker.ts'
import { type WorkerState, workerState } from './workers/worker-state.ts'

/** The control of the router of this process. */
export class LocalControl implements RouterControl {
  readonly #control: WorkerControl
  readonly #lifecycle: Lifecycle

  constructor({ control, lifecycle }: { control: WorkerControl; lifecycle: Lifecycle }) {
    this.#control = control
    this.#lifecycle = lifecycle
  }

  async vitals(): Promise<Vitals> {
    const { pool } = this.#control.registry
    return {
      draining: this.#lifecycle.draining,
      total: pool.workers.length,
      available: pool.availableCount,
      workers: pool.workers.map(({ id, url, health }) => ({ id, url, health: health.name })),
    }
  }

  async workers(): Promise<readonly WorkerState[]> {
    return this.#control.registry.pool.workers.map(workerState)
  }

  async worker(idOrUrl: string): Promise<WorkerState> {
    return workerState(this.#known(idOrUrl))
  }

  async add(url: string): Promise<WorkerState> {
    return workerState(this.#control.registry.add(url))
  }

  async addAndAwait(url: string, signal: AbortSignal): Promise<WorkerState> {
    return workerState(await this.#control.addAndAwait(url, signal))
  }

  async remove(idOrUrl: string): Promise<string> {
    const worker = this.#known(idOrUrl)
    this.#control.registry.remove(worker)
    return worker.url
  }

  async setDraining(idOrUrl: string, draining: boolean): Promise<WorkerState> {
    const worker = this.#known(idOrUrl)
    this.#control.setDraining(worker, draining)
    return workerState(worker)
  }

  flushCaches(): Promise<readonly FlushResult[]> {
    return this.#control.flushCaches()
  }

  #known(idOrUrl: string): Worker {
    const worker = this.#control.registry.find(idOrUrl)
    if (worker !== undefined) return worker
    throw new RouterError('not_found', 'no such worker; GET /workers lists them', { param: 'worker' })
  }
}
