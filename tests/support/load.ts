/** Requests at a steady rate, whatever becomes of those before: an open loop, as many independent clients make it. */

import { within } from './deadline.ts'
import { type RawAddress, type RawRequestOptions, rawRequest } from './raw-client.ts'
import type { Scope } from './scope.ts'

export interface LoadOptions {
  readonly perSecond: number
  /** Where the request goes, asked when it is sent. */
  readonly to: () => RawAddress
  readonly request: (index: number) => RawRequestOptions
  /** Milliseconds that one request may take, default 30000. */
  readonly withinMs?: number
  /** Nothing more is sent when it ends. */
  readonly t: Scope
}

export interface Done {
  readonly index: number
  /** By `performance.now()`. */
  readonly sentAt: number
  readonly endedAt: number
  /** undefined: the answer is whole and its status 200; a stream has its `[DONE]`. Else what was wrong. */
  readonly fault: string | undefined
}

export interface Load {
  /** Requests that have ended, in the order of their ends. */
  readonly done: readonly Done[]
  readonly sent: number
  /** Sends nothing more and waits for what is under way. Returns the faults, each with its request. */
  stop(): Promise<readonly Done[]>
}

export function startLoad(options: LoadOptions): Load {
  const load = new OpenLoop(options)
  options.t.after(() => load.end())
  load.start()
  return load
}

class OpenLoop implements Load {
  readonly done: Done[] = []
  sent = 0
  readonly #options: LoadOptions
  readonly #running = new Set<Promise<void>>()
  #timer: ReturnType<typeof setInterval> | undefined

  constructor(options: LoadOptions) {
    this.#options = options
  }

  start(): void {
    const { perSecond } = this.#options
    const startedAt = performance.now()
    const due = (): number => Math.floor(((performance.now() - startedAt) / 1000) * perSecond) + 1
    const catchUp = (): void => {
      while (this.sent < due()) this.#send(this.sent++)
    }
    this.#timer = setInterval(catchUp, Math.max(1, 500 / perSecond))
  }

  end(): void {
    clearInterval(this.#timer)
  }

  async stop(): Promise<readonly Done[]> {
    this.end()
    await Promise.all(this.#running)
    return this.done.filter(({ fault }) => fault !== undefined)
  }

  #send(index: number): void {
    const one = this.#run(index).finally(() => this.#running.delete(one))
    this.#running.add(one)
  }

  async #run(index: number): Promise<void> {
    const { to, request, withinMs = 30_000 } = this.#options
    const sentAt = performance.now()
    const exchange = rawRequest({ ...to(), ...request(index) })
    const fault = await within(withinMs, exchange.text(), 'an answer').then(
      ({ status, text }) => faultOf(status, text),
      (error: Error) => error.message,
    )
    exchange.abort()
    this.done.push({ index, sentAt, endedAt: performance.now(), fault })
  }
}

function faultOf(status: number, text: string): string | undefined {
  if (status !== 200) return `${status} ${text}`
  if (text.startsWith('data:') && !text.endsWith('data: [DONE]\n\n'))
    return `truncated: ...${text.slice(-200)}`
  return undefined
}
