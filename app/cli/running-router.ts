import type { Config } from '../config/settings.ts'
import type { WorkerState } from '../workers/worker-state.ts'
import type { RouterFetch } from './router-fetch.ts'

/** Milliseconds that a router may take to answer; adding a worker may take a while. */
const usualTimeoutMs = 15_000

/** There is no answer: nobody listens, or not in time. */
export class NoAnswer extends Error {
  override readonly name = 'NoAnswer'
  /** Of the system, or `no answer within 3 s`. */
  readonly why: string

  constructor(url: string, why: string) {
    super(`no answer from ${url}: ${why}. Is the router there? --url names another operations listener`)
    this.why = why
  }
}

/** The router has answered, and the answer is no. */
export class Refused extends Error {
  override readonly name = 'Refused'
  readonly status: number

  constructor(status: number, text: string) {
    super(refusal(status, text))
    this.status = status
  }
}

/** Somebody has answered who is no router, or one of another version. */
class Stranger extends Error {
  override readonly name = 'Stranger'

  constructor(url: string, what: string) {
    super(
      `${url} answers, and not as a router of this version: ${what}. Is it the operations listener? --url names another`,
    )
  }
}

export interface RunningRouterOptions {
  /** Of its operations listener, over http where it does not say; default: the one that the settings name. */
  readonly url?: string | undefined
  readonly config: Config
  readonly timeoutMs?: number
  readonly fetch: RouterFetch
}

/** The operations listener of a router that runs, in this process or anywhere. */
export class RunningRouter {
  readonly url: string
  readonly #key: string | undefined
  readonly #timeoutMs: number
  readonly #fetch: RouterFetch

  constructor({ url, config, timeoutMs = usualTimeoutMs, fetch }: RunningRouterOptions) {
    const given = url === undefined || url.includes('://') ? url : `http://${url}`
    this.url = (given ?? operationsOf(config)).replace(/\/+$/, '')
    this.#key = config.adminApiKey
    this.#timeoutMs = timeoutMs
    this.#fetch = fetch
  }

  /**
   * The JSON of the answer. 409 is an answer.
   * @throws NoAnswer, Refused with what the router says, or Stranger
   */
  async ask<T>(method: string, path: string, body?: object): Promise<T> {
    const { status, text } = await this.#send(method, path, body)
    if (status >= 300 && status !== 409) throw new Refused(status, text)
    const answer = text === '' ? {} : jsonOf(text)
    if (typeof answer === 'object' && answer !== null) return answer as T
    throw new Stranger(this.url, `${method} ${path} is no JSON`)
  }

  /** @throws as `ask` does */
  async workers(): Promise<readonly WorkerState[]> {
    const { workers } = await this.ask<{ workers?: unknown }>('GET', '/workers')
    if (Array.isArray(workers) && workers.every(isWorkerState)) return workers
    throw new Stranger(this.url, 'GET /workers lists other things')
  }

  /** What a GET answers, whatever it is. */
  get(path: string): Promise<{ readonly status: number; readonly text: string }> {
    return this.#send('GET', path)
  }

  async #send(method: string, path: string, body?: object) {
    const headers: Record<string, string> = { 'content-type': 'application/json' }
    if (this.#key !== undefined) headers.authorization = `Bearer ${this.#key}`
    const signal = AbortSignal.timeout(this.#timeoutMs)
    try {
      const response = await this.#fetch(this.url + path, {
        ...{ method, headers, signal },
        ...(body !== undefined && { body: JSON.stringify(body) }),
      })
      return { status: response.status, text: await response.text() }
    } catch (error) {
      throw new NoAnswer(
        this.url,
        signal.aborted ? `not within ${this.#timeoutMs / 1000} s` : reasonOf(error),
      )
    }
  }
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** Other routers have a route of that name, too. */
function isWorkerState(worker: Partial<WorkerState> | null): worker is WorkerState {
  return worker?.recent !== undefined && worker.breaker !== undefined && worker.waiting !== undefined
}

/** Where the operations listener of the settings is reached from its own machine. */
export function operationsOf({
  prometheusHost,
  prometheusPort,
  prometheusTlsCertFile: cert,
}: Config): string {
  return addressOf(prometheusHost, prometheusPort, cert !== undefined)
}

/** Where a listener is reached from its own machine. */
export function addressOf(host: string, port: number, secure: boolean): string {
  const name = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host
  return `http${secure ? 's' : ''}://${name.includes(':') ? `[${name}]` : name}:${port}`
}

/** `fetch` hides the cause on Node. */
export function reasonOf(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
  if (!(cause instanceof Error)) return String(cause)
  const { code } = cause as { code?: string }
  return cause.message || code || cause.name
}

function refusal(status: number, text: string): string {
  const hint = status === 401 ? '; set VLLM_ROUTER_ADMIN_API_KEY to the admin key' : ''
  try {
    const { error } = JSON.parse(text) as { error?: { message?: string } }
    return `${status}: ${error?.message ?? text}${hint}`
  } catch {
    return `${status}: ${text.slice(0, 200)}${hint}`
  }
}
