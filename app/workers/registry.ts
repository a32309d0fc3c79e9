import { RouterError } from '../../middleware/errors.ts'
import { canonicalUrl, parseWorkerUrl } from '../config/worker-url.ts'
import { workerUrlAllowed } from '../config/worker-url-allow.ts'
import type { Pool } from './pool.ts'
import type { Prober } from './prober.ts'
import type { Worker } from './worker.ts'

export interface WorkerRegistryOptions {
  readonly pool: Pool
  readonly prober: Prober
  /** Patterns that URLs added at run time must match; none allows any host. */
  readonly allow: readonly string[]
}

/** Membership: who is in the pool, and who is probed. */
export class WorkerRegistry {
  readonly pool: Pool
  readonly #prober: Prober
  readonly #allow: readonly string[]

  constructor({ pool, prober, allow }: WorkerRegistryOptions) {
    this.pool = pool
    this.#prober = prober
    this.#allow = allow
  }

  /** Workers of the configuration; they are checked already. */
  addConfigured(urls: readonly string[]): void {
    for (const url of urls) this.pool.add(url)
    this.#prober.follow(this.pool)
  }

  /**
   * A worker added while running.
   * @throws RouterError invalid_request when the URL is wrong, not allowed, or there already
   */
  add(written: string): Worker {
    const parsed = parseWorkerUrl(written)
    if (!('value' in parsed)) {
      throw invalid(`not a worker URL${parsed.hint === undefined ? '' : `: ${parsed.hint}`}`)
    }
    const url = parsed.value
    if (!workerUrlAllowed(url, this.#allow))
      throw new RouterError('forbidden', 'this host is not in --worker-url-allow', { param: 'url' })
    if (this.find(url) !== undefined) throw invalid('this worker is registered already')
    const worker = this.pool.add(url)
    this.#prober.follow(this.pool)
    return worker
  }

  /** The worker gets nothing more and finishes what it has. */
  remove(worker: Worker): void {
    this.pool.remove(worker)
    this.#prober.follow(this.pool)
  }

  /** By id, or by URL in any spelling. */
  find(idOrUrl: string): Worker | undefined {
    if (!URL.canParse(idOrUrl)) return this.pool.workers.find(({ id }) => id === idOrUrl)
    const wanted = canonicalUrl(idOrUrl)
    return this.pool.workers.find(({ url }) => canonicalUrl(url) === wanted)
  }
}

function invalid(message: string): RouterError {
  return new RouterError('invalid_request', message, { param: 'url' })
}
