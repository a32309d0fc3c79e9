import type { Clock } from '../clock.ts'
import type { HeaderFields, HttpClient } from '../runtime/http-client.ts'
import { TransportError } from '../runtime/http-client.ts'
import type { Pool } from './pool.ts'
import type { Health, ModelEntry, Worker } from './worker.ts'

export interface ProberOptions {
  readonly path: string
  readonly intervalMs: number
  readonly timeoutMs: number
  readonly failureThreshold: number
  readonly successThreshold: number
  /** Milliseconds between probes of a worker that is not healthy. */
  readonly checkIntervalMs: number
  /** Milliseconds a worker may take until it is healthy for the first time before that is worth a warning. */
  readonly startupTimeoutMs: number
  /** Milliseconds after which a healthy worker is asked for its models again. */
  readonly modelsIntervalMs?: number
  /** Sent with every probe: the key for the workers. */
  readonly headers: HeaderFields
  readonly clock: Clock
  readonly random: () => number
  readonly events: ProbeEvents
}

export interface ProbeEvents {
  healthChanged(worker: Worker, from: Health, to: Health): void
  slowStart(worker: Worker): void
}

/**
 * Asks every worker for its health and its models, each on a timer of its own: one slow worker delays no other.
 * It only writes facts on workers; the request path only reads them.
 */
export class Prober {
  readonly #options: ProberOptions
  readonly #client: HttpClient
  readonly #probes = new Map<Worker, Probe>()

  constructor(client: HttpClient, options: ProberOptions) {
    this.#client = client
    this.#options = options
  }

  /** Probes exactly the pool's workers from now on. Call after each change of membership. */
  follow(pool: Pool): void {
    for (const [worker, probe] of this.#probes) {
      if (!worker.removed) continue
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

  stop(): void {
    for (const probe of this.#probes.values()) probe.stop()
    this.#probes.clear()
  }
}

interface Finding {
  readonly ok: boolean
  readonly reason: string
  /** Nobody listens: one such probe is proof enough. */
  readonly conclusive: boolean
}

class Probe {
  readonly #worker: Worker
  readonly #client: HttpClient
  readonly #options: ProberOptions
  readonly #startedAt: number
  #cancelTimer: () => void = () => {}
  #running = false
  #stopped = false
  #successes = 0
  #failures = 0
  #modelsAt = Number.NEGATIVE_INFINITY
  #warned = false

  constructor(worker: Worker, client: HttpClient, options: ProberOptions) {
    this.#worker = worker
    this.#client = client
    this.#options = options
    this.#startedAt = options.clock.now()
    this.soon()
  }

  soon(): void {
    if (this.#running || this.#stopped) return
    this.#cancelTimer()
    this.#running = true
    void this.#probe().finally(() => {
      this.#running = false
      if (!this.#stopped) this.#cancelTimer = this.#options.clock.after(this.#pause(), () => this.soon())
    })
  }

  stop(): void {
    this.#stopped = true
    this.#cancelTimer()
  }

  /** Jitter keeps the probes of many workers, and of many routers, from falling together. */
  #pause(): number {
    const { intervalMs, checkIntervalMs, random } = this.#options
    const healthy = this.#worker.health.name === 'healthy'
    return (healthy ? intervalMs : Math.min(intervalMs, checkIntervalMs)) * (0.9 + 0.2 * random())
  }

  async #probe(): Promise<void> {
    const finding = await this.#askHealth()
    if (this.#stopped) return
    if (finding.ok) await this.#refreshModels()
    this.#judge(finding)
  }

  #judge(finding: Finding): void {
    const { successThreshold, failureThreshold } = this.#options
    const { health } = this.#worker
    this.#successes = finding.ok ? this.#successes + 1 : 0
    this.#failures = finding.ok ? 0 : this.#failures + 1
    if (!finding.ok) this.#worker.fail(`probe: ${finding.reason}`)
    if (
      health.name === 'starting'
        ? finding.ok
        : health.name === 'unhealthy' && this.#successes >= successThreshold
    ) {
      this.#change({ name: 'healthy' })
    } else if (
      health.name === 'healthy' &&
      !finding.ok &&
      (finding.conclusive || this.#failures >= failureThreshold)
    ) {
      this.#change({ name: 'unhealthy', reason: finding.reason })
    } else if (health.name === 'starting') {
      this.#warnWhenSlow()
    }
  }

  #change(to: Health): void {
    const from = this.#worker.health
    this.#worker.health = to
    // A worker that was away and is back has most likely been restarted: the old breaker's wait says nothing about it.
    if (from.name === 'unhealthy' && to.name === 'healthy') this.#worker.breaker?.tryNow()
    this.#options.events.healthChanged(this.#worker, from, to)
  }

  #warnWhenSlow(): void {
    const { clock, startupTimeoutMs, events } = this.#options
    if (this.#warned || clock.now() - this.#startedAt < startupTimeoutMs) return
    this.#warned = true
    events.slowStart(this.#worker)
  }

  async #askHealth(): Promise<Finding> {
    const answer = await this.#get(this.#options.path)
    if ('failed' in answer) return { ok: false, ...answer.failed }
    const ok = answer.status >= 200 && answer.status < 300
    return { ok, reason: `status ${answer.status}`, conclusive: false }
  }

  /** A worker that lists no models serves on; it is only not known by name. */
  async #refreshModels(): Promise<void> {
    const { clock, modelsIntervalMs = 10_000 } = this.#options
    const due = clock.now() - this.#modelsAt >= modelsIntervalMs || this.#worker.health.name !== 'healthy'
    if (!due) return
    const answer = await this.#get('/v1/models')
    if ('failed' in answer || answer.status !== 200) return
    const list = parseModels(answer.body)
    if (list === undefined) return
    this.#modelsAt = clock.now()
    this.#worker.listModels(list)
  }

  async #get(
    path: string,
  ): Promise<{ status: number; body: string } | { failed: { reason: string; conclusive: boolean } }> {
    const { clock, timeoutMs, headers } = this.#options
    const { origin, pathPrefix } = this.#worker
    const pending = this.#client.send({
      origin,
      path: pathPrefix + path,
      method: 'GET',
      headers,
      body: undefined,
    })
    let timedOut = false
    const cancelTimer = clock.after(timeoutMs, () => {
      timedOut = true
      pending.abort()
    })
    try {
      const { status, body } = await pending.head
      return { status, body: await readText(body) }
    } catch (error) {
      if (timedOut) return { failed: { reason: `no answer within ${timeoutMs / 1000} s`, conclusive: false } }
      const fault = error instanceof TransportError ? error : undefined
      return { failed: { reason: fault?.code ?? String(error), conclusive: fault?.fault === 'unreachable' } }
    } finally {
      cancelTimer()
    }
  }
}

const maxAnswerBytes = 4 * 1024 * 1024

async function readText(body: { read(): Promise<Uint8Array | undefined>; cancel(): void }): Promise<string> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for (let chunk = await body.read(); chunk !== undefined; chunk = await body.read()) {
    bytes += chunk.byteLength
    if (bytes > maxAnswerBytes) {
      body.cancel()
      break
    }
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

function parseModels(text: string): readonly ModelEntry[] | undefined {
  try {
    const { data } = JSON.parse(text) as { data?: unknown }
    return Array.isArray(data)
      ? data.filter((entry): entry is ModelEntry => typeof entry?.id === 'string')
      : undefined
  } catch {
    return undefined
  }
}
