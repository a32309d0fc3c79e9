/**
 * The worker's end of one connection, and the steps a script is made of.
 * A script is a list: text and bytes are sent as they are, functions do something else (wait, close, reset ...).
 */

import type { Socket } from 'node:net'
import { resetSocket } from './sockets.ts'

export type Step = string | Uint8Array | ((wire: Wire) => void | Promise<void>)
export type Script = readonly Step[]

export class Wire {
  readonly socket: Socket
  /** Called by the step `completed`. */
  readonly onCompleted: () => void
  #over = false
  readonly #waiting = new Set<() => void>()

  constructor(socket: Socket, onCompleted: () => void) {
    this.socket = socket
    this.onCompleted = onCompleted
  }

  /** True when nothing can be sent any more, whoever closed: the rest of the script is then not run. */
  get over(): boolean {
    return this.#over
  }

  /** The connection is gone: every step that waits returns at once. */
  finish(): void {
    this.#over = true
    for (const wake of [...this.#waiting]) wake()
  }

  /** Resolves when `start` calls its argument, or when the connection is gone. `start` returns what undoes it. */
  hold(start: (done: () => void) => (() => void) | undefined): Promise<void> {
    if (this.#over) return Promise.resolve()
    return new Promise((resolve) => {
      let undo: (() => void) | undefined
      const done = (): void => {
        this.#waiting.delete(done)
        undo?.()
        resolve()
      }
      this.#waiting.add(done)
      undo = start(done)
    })
  }

  /** Resolves when the kernel has taken the bytes, so that a slow reader slows the script. */
  write(bytes: string | Uint8Array): Promise<void> {
    return this.hold((done) => {
      this.socket.write(bytes, (error) => {
        // Without that a script that repeats itself would never again let the socket say that it is closed.
        if (error) this.#over = true
        done()
      })
      return undefined
    })
  }

  /** FIN. The connection can still be read. */
  end(): void {
    this.#over = true
    this.socket.end()
  }

  /** RST: what the peer sees of a killed process with unread bytes, or of a load balancer that forgot the connection. */
  reset(): void {
    this.#over = true
    resetSocket(this.socket)
  }
}

export async function play(script: Script, wire: Wire): Promise<void> {
  for (const step of script) {
    if (wire.over) return
    await (typeof step === 'function' ? step(wire) : wire.write(step))
  }
}

/** Milliseconds. */
export function wait(ms: number): Step {
  return (wire) =>
    wire.hold((done) => {
      const timer = setTimeout(done, ms)
      return () => clearTimeout(timer)
    })
}

/** Goes on when the promise settles: lets a test decide when the worker does the next thing. */
export function until(promise: PromiseLike<unknown> | (() => PromiseLike<unknown>)): Step {
  return (wire) =>
    wire.hold((done) => {
      ;(typeof promise === 'function' ? promise() : promise).then(done, done)
      return undefined
    })
}

/** Sends nothing more and keeps the connection open until the peer closes it. */
export const hang: Step = (wire) => wire.hold(() => undefined)

/** Closes the sending side with FIN, as a process that ends. */
export const close: Step = (wire) => wire.end()

export const reset: Step = (wire) => wire.reset()

/** The response is whole: the worker counts it as completed. */
export const completed: Step = (wire) => wire.onCompleted()

/** Sends `bytes` until the peer has enough, or `times` times. */
export function repeat(bytes: string | Uint8Array, times = Number.POSITIVE_INFINITY): Step {
  return async (wire) => {
    for (let sent = 0; sent < times && !wire.over; sent++) await wire.write(bytes)
  }
}

export type HeaderFields = Readonly<Record<string, string | number>>

/** A response head, without framing headers unless they are given. */
export function head(status: number, headers: HeaderFields = {}): string {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  return `HTTP/1.1 ${status} ${reasons[status] ?? 'Scripted'}\r\n${lines.join('')}\r\n`
}

const reasons: Readonly<Record<number, string>> = {
  200: 'OK',
  307: 'Temporary Redirect',
  400: 'Bad Request',
  404: 'Not Found',
  422: 'Unprocessable Entity',
  429: 'Too Many Requests',
  500: 'Internal Server Error',
  503: 'Service Unavailable',
}

/** One chunk of chunked encoding. */
export function chunk(payload: string | Uint8Array): Buffer {
  const bytes = Buffer.from(payload as string)
  return Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from('\r\n')])
}

export const lastChunk = '0\r\n\r\n'

/** A whole answer with Content-Length, in one write. */
export function answer(status: number, body: string | Uint8Array = '', headers: HeaderFields = {}): Script {
  const bytes = Buffer.from(body as string)
  const fields = { 'content-type': 'application/json', ...headers, 'content-length': bytes.length }
  return [Buffer.concat([Buffer.from(head(status, fields)), bytes]), completed]
}

export function streamHead(headers: HeaderFields = {}): string {
  return head(200, {
    'content-type': 'text/event-stream; charset=utf-8',
    'transfer-encoding': 'chunked',
    ...headers,
  })
}

/** A whole stream: each event one chunk, `gapMs` between two. */
export function stream(events: readonly string[], headers: HeaderFields = {}, gapMs = 0): Script {
  const steps = events.flatMap((event, index): Step[] =>
    gapMs > 0 && index > 0 ? [wait(gapMs), chunk(event)] : [chunk(event)],
  )
  return [streamHead(headers), ...steps, lastChunk, completed]
}
