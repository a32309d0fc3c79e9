/**
 * Sends one answer: paces it by the engine, breaks it where a fault says, and stops when the client leaves.
 *
 * However it ends, it settles exactly once: the engine's place is given up and the ledger gets one entry.
 */
import type { ServerResponse } from 'node:http'
import type { Answer, StreamFormat } from './answer.ts'
import { ApiError } from './api-error.ts'
import { type Breakage, breakageOf } from './breakage.ts'
import type { Engine, EngineTask, Place } from './engine.ts'
import type { Fault } from './fault.ts'
import type { Ending } from './ledger.ts'
import type { WriteHead } from './response-head.ts'

/** What a delivery needs of its server. */
export interface DeliveryContext {
  readonly engine: Engine
  readonly headersBeforePrefill: boolean
  readonly writeHead: WriteHead
  /** Called exactly once. */
  settled(ending: Ending): void
  die(): void
}

/** In vLLM's words, and like there without a Retry-After. */
const busy =
  'The engine is currently busy and cannot accept new requests. Please try again later or on a different instance.'

export class Delivery implements EngineTask {
  readonly model: string
  readonly prompt: string
  readonly promptTokens: number
  readonly steps: number
  readonly tokensPerStep: number

  private readonly context: DeliveryContext
  private readonly res: ServerResponse
  private readonly answer: Answer
  private readonly breakage: Breakage | undefined
  private place: Place | undefined
  private cachedTokens = 0
  private sent = 0
  private over = false

  constructor(context: DeliveryContext, res: ServerResponse, answer: Answer, fault: Fault | undefined) {
    this.context = context
    this.res = res
    this.answer = answer
    this.model = answer.model
    this.prompt = answer.prompt.text
    this.promptTokens = answer.prompt.tokens
    this.steps = answer.steps
    this.tokensPerStep = answer.tokensPerStep
    this.breakage = fault && breakageOf(fault, answer.stream !== undefined, answer.steps)
  }

  /** Begins to answer. Throws 503 when the queue is full. */
  start(): void {
    const { answer, context, breakage } = this
    if (answer.steps > 0 && context.engine.full) {
      throw new ApiError(503, 'Service Unavailable', busy)
    }
    this.res.on('close', () => this.settle('aborted'))
    if (breakage?.when === 'before-head') {
      this.break(breakage)
      return
    }
    if (breakage?.when === 'after-head') {
      this.open(answer.stream ? undefined : answer.body(0))
      this.res.flushHeaders()
      this.break(breakage)
    } else if (answer.steps === 0) this.sendPlain()
    else this.generate()
  }

  private generate(): void {
    const early = this.answer.stream !== undefined && this.context.headersBeforePrefill
    if (early) this.open()
    this.place = this.context.engine.submit(this)
    // Already over when the whole answer was one burst.
    if (this.over) this.context.engine.abort(this.place)
    else if (early && this.sent === 0) this.res.flushHeaders()
  }

  /** Ends the books of a request whose connection is about to be cut. */
  settle(ending: Ending): void {
    if (this.over) return
    this.over = true
    if (this.place) this.context.engine.abort(this.place)
    this.context.settled(ending)
  }

  admitted(cachedTokens: number): void {
    this.cachedTokens = cachedTokens
  }

  produced(count: number): boolean {
    if (this.answer.stream) return this.produceEvents(this.answer.stream, count)
    this.sent += count
    if (this.sent >= this.steps) this.sendPlain()
    return true
  }

  private produceEvents(stream: StreamFormat, count: number): boolean {
    const { breakage, steps } = this
    let text = ''
    if (this.sent === 0) {
      if (!this.res.headersSent) this.open()
      if (breakage?.when !== 'first-event') text = stream.opening(this.cachedTokens)
    }
    for (let i = 0; i < count; i++) {
      if (breakage && this.sent >= breakage.tokens) return this.breakStream(stream, text, breakage)
      this.sent++
      text += stream.event(this.sent - 1, this.sent === steps && breakage?.action !== 'end')
    }
    if (this.sent < steps) return this.write(text)
    if (breakage) return this.breakStream(stream, text, breakage)
    this.finish(text + stream.closing(this.cachedTokens), 'completed')
    return true
  }

  /** Writes events; false when the client reads too slowly, and then goes on by itself when it has read. */
  private write(text: string): boolean {
    if (this.res.write(text)) return true
    this.res.once('drain', () => {
      if (this.place) this.context.engine.resume(this.place)
    })
    return false
  }

  private breakStream(stream: StreamFormat, text: string, breakage: Breakage): boolean {
    if (breakage.action === 'failure') this.finish(text + stream.failure(breakage.message), 'faulted')
    else if (breakage.action === 'end') this.finish(text, 'faulted')
    else {
      const next = this.sent < this.steps ? stream.event(this.sent, false) : stream.closing(this.cachedTokens)
      this.breakAfter(breakage.halfEvent ? halfOfFirstEvent(text, next) : Buffer.from(text), breakage)
    }
    return false
  }

  private sendPlain(): void {
    const body = this.answer.body(this.cachedTokens)
    const { breakage } = this
    if (breakage) {
      this.open(body)
      const bytes = Buffer.from(body)
      this.breakAfter(bytes.subarray(0, bytes.length >> 1), breakage)
      return
    }
    this.open(body)
    this.finish(body, 'completed')
  }

  /** Sends the head: of a plain answer with this body, else of a stream. */
  private open(body?: string): void {
    const { contentType } = this.answer
    this.context.writeHead(
      this.res,
      200,
      contentType,
      body === undefined ? undefined : Buffer.byteLength(body),
    )
  }

  private finish(text: string, ending: Ending): void {
    if (this.over) return
    this.res.end(text)
    this.settle(ending)
  }

  /** Breaks only when the bytes before have reached the kernel: a reset would drop them. */
  private breakAfter(bytes: Buffer, breakage: Breakage): void {
    if (bytes.length === 0) this.break(breakage)
    else this.res.write(bytes, () => this.break(breakage))
  }

  private break(breakage: Breakage): void {
    if (breakage.delayMs > 0) setTimeout(() => this.breakNow(breakage), breakage.delayMs).unref()
    // Bun calls back from `write` before its corked bytes are in the kernel; one turn later they are.
    else setImmediate(() => this.breakNow(breakage))
  }

  private breakNow({ action }: Breakage): void {
    if (this.over || action === 'hang') return
    const { socket } = this.res
    this.settle('faulted')
    if (action === 'die') this.context.die()
    else if (action === 'reset') socket?.resetAndDestroy()
    else socket?.destroy()
  }
}

/** `text` and the first half of the bytes of the first event in `next`. */
function halfOfFirstEvent(text: string, next: string): Buffer {
  const end = next.indexOf('\n\n')
  const event = Buffer.from(end === -1 ? next : next.slice(0, end + 2))
  return Buffer.concat([Buffer.from(text), event.subarray(0, event.length >> 1)])
}
