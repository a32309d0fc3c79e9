import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Get } from '../../../upstream/get.ts'
import type { HeaderFields, PendingAnswer, WorkerResponse } from '../../../upstream/http-client.ts'

export interface ApiServerOptions {
  /** For example https://10.96.0.1:443. Over plain http, as to `kubectl proxy`, no token is sent. */
  readonly url: string
  /** Directory of a service account: `token` and `ca.crt`. */
  readonly credentials: string
  readonly get: Get
}

/** An answer of the API server that is not what was asked for. */
export class ApiFault extends Error {
  override readonly name = 'ApiFault'
  readonly status: number
  /** Milliseconds that the server asks to wait. */
  readonly retryAfterMs: number

  constructor(status: number, message: string, retryAfterMs = 0) {
    super(message)
    this.status = status
    this.retryAfterMs = retryAfterMs
  }
}

/** The Kubernetes API, as a pod reaches it. */
export class ApiServer {
  readonly #options: ApiServerOptions

  constructor(options: ApiServerOptions) {
    this.#options = options
  }

  /**
   * Token and authority are read anew each time: both are replaced while the pod runs (a token about every hour).
   * @throws Error when they cannot be read
   */
  async ask(path: string, query: Readonly<Record<string, string>>): Promise<PendingAnswer> {
    const { url, credentials, get } = this.#options
    const headers: [string, string][] = [
      ['accept', 'application/json'],
      ['user-agent', 'vllm-router'],
    ]
    let ca: string | undefined
    if (url.startsWith('https:')) {
      ca = await readFile(join(credentials, 'ca.crt'), 'utf8')
      const token = await readFile(join(credentials, 'token'), 'utf8')
      headers.push(['authorization', `Bearer ${token.trim()}`])
    }
    return get({ url: `${url}${path}?${new URLSearchParams(query)}`, headers, ca })
  }
}

/** Seconds; a server that asks for more is not taken at its word. */
const longestRetryAfter = 60

/** What an answer other than 200 says. */
export async function faultOf({ status, headers, body }: WorkerResponse): Promise<ApiFault> {
  const text = Buffer.from(await body.readAll()).toString('utf8')
  return new ApiFault(status, `${status} ${messageIn(text)}`.trim(), retryAfterMs(headers))
}

/** What an ERROR event within a watch says: the same `Status` object that an answer carries. */
export function faultIn(object: unknown): ApiFault {
  const { code, message, details } = (object ?? {}) as {
    code?: number
    message?: string
    details?: { retryAfterSeconds?: number } | null
  }
  const seconds = Math.min(details?.retryAfterSeconds ?? 0, longestRetryAfter)
  return new ApiFault(code ?? 0, `${code ?? ''} ${message ?? 'an error event'}`.trim(), seconds * 1000)
}

function messageIn(text: string): string {
  try {
    const { message } = JSON.parse(text) as { message?: unknown }
    if (typeof message === 'string') return message
  } catch {
    // A proxy before the API server answers in words of its own.
  }
  return text.slice(0, 200)
}

function retryAfterMs(headers: HeaderFields): number {
  const value = headers.find(([name]) => name.toLowerCase() === 'retry-after')?.[1]
  const seconds = /^\d+$/.test(value ?? '') ? Number(value) : 0
  return Math.min(seconds, longestRetryAfter) * 1000
}
