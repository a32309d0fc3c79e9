import type { HttpClient } from '../upstream/http-client.ts'
import { ask } from './ask.ts'
import type { Pool } from './pool.ts'
import { Probe, type ProbeOptions } from './probe.ts'
import { heartbeat } from './progress.ts'
import type { Worker } from './worker.ts'

/** Milliseconds that a worker may take to tell its counters to a stream that waits. */
const pulseTimeoutMs = 500

/**
 * Asks every worker for its health and its models, each on a timer of its own: one slow worker delays no other.
 * What it finds is written on the workers, where choosing one reads it; it chooses no worker itself.
 */
export class Prober {
  readonly #options: ProbeOptions
  readonly #client: HttpClient
  readonly #probes = new Map<Worker, Probe>()

  constructor(client: HttpClient, options: ProbeOptions) {
    this.#client = client
    this.#options = { ...options }
  }

  /**
   * Probes the pool's workers from now on, and removed ones as long as they have requests: those that wait on a dead one
   * are to be let go. Call after each change of membership.
   */
  follow(pool: Pool): void {
    for (const [worker, probe] of this.#probes) {
      if (!worker.removed || worker.inFlight > 0) continue
      probe.stop()
      this.#probes.delete(worker)
    }
    for (const worker of pool.workers) {
      if (!this.#probes.has(worker)) this.#probes.set(worker, new Probe(worker, this.#client, this.#options))
    }
  }

  /** A request found nobody at home: do not wait for the next turn to know. */
  probeSoon(worker: Worker): void {
    this.#probes.get(worker)?.soon()
  }

  /** The counters of its engine as one number, which any work moves; undefined when it does not tell them at once. */
  async pulse(worker: Worker): Promise<number | undefined> {
    const { clock, headers } = this.#options
    const options = { client: this.#client, clock, headers, timeoutMs: pulseTimeoutMs }
    const answer = await ask(worker, '/metrics', options)
    return 'failed' in answer || answer.status !== 200 ? undefined : heartbeat(answer.body)
  }

  /** Takes over other times, thresholds and keys; each probe goes by them from its next step on. */
  reconfigure(changes: Partial<ProbeOptions>): void {
    Object.assign(this.#options, changes)
  }

  stop(): void {
    for (const probe of this.#probes.values()) probe.stop()
  }
}
