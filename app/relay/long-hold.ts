import { errorEvent, RouterError } from '../../http/errors.ts'
import type { Clock } from '../runtime/clock.ts'
import type { ByteSink, ByteSource } from '../upstream/http-client.ts'
import type { StreamFacts } from './call.ts'
import type { Answer } from './exchange.ts'
import { errorAnswerEvent, wholeAnswerEvent } from './late-answer.ts'

export interface LongHoldOptions {
  readonly stream: StreamFacts
  /** Milliseconds without an answer after which the head goes out. */
  readonly afterMs: number
  readonly clock: Clock
}

/** Milliseconds between two comments while the answer is waited for. */
const everyMs = 15_000

/** A comment that a worker sends this soon greets; one that comes later keeps the connection alive, and is to arrive. */
const greetingMs = 250

/** Comments that wait for a client that does not read. */
const maxWaiting = 8

/** What every reader of server-sent events ignores (WHATWG HTML, section 9.2.6). */
const comment = new TextEncoder().encode(': waiting for the first token\n\n')

const head = [
  ['content-type', 'text/event-stream; charset=utf-8'],
  ['cache-control', 'no-cache'],
] as const

/**
 * Keeps the client's connection alive through a long prefill: idle limits of load balancers, 60 s as a rule, cut what is
 * silent. After some time head and comments go out, while everything that the workers send is still held, and another
 * worker may still take over. What is lost is the status of a late error, which becomes an error event.
 */
export class LongHold implements ByteSource {
  readonly #options: LongHoldOptions
  readonly #startedAt: number
  #letOut: (() => void) | undefined
  #out = false
  #comments: Uint8Array[] = []
  /** The answer has come: all of it, or what pushes it. */
  #whole: Uint8Array | undefined
  #source: ByteSource | undefined
  #sink: ByteSink | undefined
  /** The client takes nothing at the moment. */
  #isFull = false
  #cancelTimer: () => void = () => {}

  constructor(options: LongHoldOptions) {
    this.#options = options
    this.#startedAt = options.clock.now()
  }

  /** The answer as it comes; or, when it takes too long, one that begins with comments. */
  race(answer: Promise<Answer>): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const { clock, afterMs } = this.#options
      const letOut = () => {
        this.#cancelTimer()
        this.#out = true
        this.#addComment(comment)
        this.#commentAgain()
        resolve({ status: 200, headers: head, body: this, isEventStream: true })
      }
      this.#letOut = letOut
      this.#cancelTimer = clock.after(afterMs, letOut)
      answer.then(
        (answered) => (this.#settle() ? this.#deliver(answered) : resolve(answered)),
        (error) => (this.#settle() ? this.#fail(error) : reject(error)),
      )
    })
  }

  /** A worker's own comment: it goes to the client, ahead of what is held. */
  readonly passComment = (worker: Uint8Array): boolean => {
    if (!this.#out) {
      if (this.#options.clock.now() - this.#startedAt < greetingMs) return false
      this.#letOut?.()
    }
    this.#addComment(worker)
    return true
  }

  flow(sink: ByteSink): void {
    this.#sink = sink
    this.#push()
  }

  resume(): void {
    this.#isFull = false
    if (this.#sink === undefined) this.#source?.resume()
    else this.#push()
  }

  /** The client has left. */
  cancel(): void {
    this.#sink = undefined
    if (this.#source === undefined) this.#options.stream.record.stop.because('client_closed')
    else this.#source.cancel()
  }

  /** The waiting is over. True when the head is out. */
  #settle(): boolean {
    this.#cancelTimer()
    this.#letOut = undefined
    return this.#out
  }

  #addComment(bytes: Uint8Array): void {
    if (this.#comments.length < maxWaiting) this.#comments.push(bytes)
    this.#push()
  }

  #commentAgain(): void {
    this.#cancelTimer = this.#options.clock.after(everyMs, () => {
      this.#addComment(comment)
      this.#commentAgain()
    })
  }

  /** Sends what there is, as long as the client takes it; the answer has the client to itself once it is its turn. */
  #push(): void {
    const sink = this.#sink
    if (sink === undefined) return
    while (!this.#isFull && this.#comments.length > 0) this.#isFull = !sink.write(this.#comments.shift()!)
    if (this.#isFull || (this.#whole === undefined && this.#source === undefined)) return
    this.#sink = undefined
    if (this.#whole === undefined) {
      this.#source?.flow(sink)
    } else {
      sink.write(this.#whole)
      sink.end()
    }
  }

  #deliver({ status, body, reportsError = false, isEventStream = false }: Answer): void {
    const { dialect, record } = this.#options.stream
    if (!(body instanceof Uint8Array) && isEventStream) {
      this.#source = body
      this.#push()
    } else if (!(body instanceof Uint8Array)) {
      // It is neither a stream of events nor short: there is no way to say it in events.
      this.#fail(new RouterError('bad_worker_response', 'the worker did not answer with a stream of events'))
      body.cancel()
    } else if (reportsError || status >= 400) {
      this.#end(reportsError ? body : errorAnswerEvent(body, status, dialect))
      record.end('worker_error')
    } else {
      this.#end(wholeAnswerEvent(body, dialect))
      record.end('completed')
    }
  }

  #fail(error: unknown): void {
    const { dialect, record } = this.#options.stream
    const told = error instanceof RouterError ? error : new RouterError('internal_error', 'the router failed')
    this.#end(errorEvent(told, dialect))
    record.end(told.code)
  }

  #end(last: Uint8Array): void {
    this.#whole = last
    this.#push()
  }
}
