import type { Dialect } from '../../http/errors.ts'
import type { Clock } from '../runtime/clock.ts'
import type { ByteReader, ByteSink, ByteSource, RelayedBody } from '../upstream/http-client.ts'
import { EventScanner, eachEvent } from './event-scanner.ts'
import { readEvent } from './grammar.ts'
import type { WorkerError } from './worker-error.ts'

/** The beginning of a stream, up to and with the first event that matters. */
export interface HeldEvents {
  /** Whole events, and the beginning of one that is too large to be looked at; to be sent first. */
  readonly bytes: Uint8Array
  /** Keeps the beginning of the next event, where one has come. */
  readonly scanner: EventScanner
  /**
   * - `open`: content has begun and more may come.
   * - `complete`: the end marker is among the bytes.
   * - `broken`: the stream ended without content.
   */
  readonly end: 'open' | 'complete' | 'broken'
  /** The first event that matters is the worker's own report of an error. */
  readonly error: WorkerError | undefined
}

export interface HoldEventsOptions {
  readonly dialect: Dialect
  readonly maxBytes: number
  readonly maxEventBytes: number
  /** Takes a comment of the worker's that may go to the client ahead of everything; false keeps it in its place. */
  readonly passComment?: ((comment: Uint8Array) => boolean) | undefined
}

/** Reads until the first event that bears content, reports an error or ends the stream. Bounded by `maxBytes`. */
export async function holdEvents(
  source: ByteReader,
  { dialect, maxBytes, maxEventBytes, passComment }: HoldEventsOptions,
): Promise<HeldEvents> {
  const scanner = new EventScanner()
  const chunks: Uint8Array[] = []
  let bytes = 0
  for (;;) {
    const chunk = await source.read()
    if (chunk === undefined) return { bytes: join(chunks), scanner, end: 'broken', error: undefined }
    let events = scanner.push(chunk)
    // So large an event is an answer: what vLLM sends is passed on, whatever its size.
    const large = scanner.heldBytes > maxEventBytes ? scanner.pass() : undefined
    if (events !== undefined) {
      const { meaning, error } = firstThatMatters(events, dialect)
      if (meaning === 'silent' && passComment !== undefined) events = withoutComments(events, passComment)
      chunks.push(events)
      bytes += events.byteLength
      if (large !== undefined) chunks.push(large)
      if (meaning !== 'silent') {
        return { bytes: join(chunks), scanner, end: meaning === 'end' ? 'complete' : 'open', error }
      }
    } else if (large !== undefined) {
      chunks.push(large)
    }
    // No normal prefill sends this much before its first token: commit instead of buffering without bound.
    if (large !== undefined || bytes > maxBytes) {
      return { bytes: join(chunks), scanner, end: 'open', error: undefined }
    }
  }
}

const colon = 0x3a

/** What is left when comments have been passed on; none of the events bears content. */
function withoutComments(events: Uint8Array, passComment: (comment: Uint8Array) => boolean): Uint8Array {
  const rest: Uint8Array[] = []
  eachEvent(events, (event) => {
    if (event[0] !== colon || !passComment(event)) rest.push(event)
  })
  return join(rest)
}

function firstThatMatters(events: Uint8Array, dialect: Dialect): ReturnType<typeof readEvent> {
  let found: ReturnType<typeof readEvent> = { meaning: 'silent' }
  eachEvent(events, (event) => {
    found = readEvent(event, dialect)
    return found.meaning !== 'silent'
  })
  return found
}

export type HeldPlain =
  | { readonly complete: true; readonly bytes: Uint8Array }
  | { readonly complete: false; readonly rest: ByteSource }

export interface HoldPlainOptions {
  readonly maxBytes: number
  readonly maxMs: number
  /** Its reader wants what there is: only the first bytes are waited for. */
  readonly untilFirst: boolean
  readonly clock: Clock
}

/**
 * Reads a plain answer whole, as long as it is short and comes quickly: until then a break costs the client nothing.
 * A longer or slower one is handed on from its first byte.
 */
export async function holdPlain(
  source: RelayedBody,
  { maxBytes, maxMs, untilFirst, clock }: HoldPlainOptions,
): Promise<HeldPlain> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  let cancelTimer = (): void => {}
  const late = new Promise<'late'>((resolve) => {
    if (!untilFirst) cancelTimer = clock.after(maxMs, () => resolve('late'))
  })
  try {
    for (;;) {
      const next = source.read()
      const chunk = await Promise.race([next, late])
      if (chunk === 'late') return { complete: false, rest: new Continued(chunks, next, source) }
      if (chunk === undefined) return { complete: true, bytes: join(chunks) }
      chunks.push(chunk)
      bytes += chunk.byteLength
      if (untilFirst || bytes > maxBytes)
        return { complete: false, rest: new Continued(chunks, undefined, source) }
    }
  } finally {
    cancelTimer()
  }
}

/** A body from its beginning again: what was held, what the read under way brings, and the rest. */
class Continued implements ByteSource {
  readonly #held: Uint8Array[]
  readonly #pending: Promise<Uint8Array | undefined> | undefined
  readonly #body: RelayedBody
  #flows = false
  #isCancelled = false

  constructor(held: Uint8Array[], pending: Promise<Uint8Array | undefined> | undefined, body: RelayedBody) {
    this.#held = held
    this.#pending = pending
    this.#body = body
    // Its failure is told when it flows; until then it must not count as unhandled.
    pending?.catch(() => {})
  }

  /** What is held takes the same memory before a sink that is full as behind it. */
  flow(sink: ByteSink): void {
    for (const chunk of this.#held.splice(0)) if (!this.#isCancelled) sink.write(chunk)
    if (this.#pending === undefined) this.#flowOn(sink)
    else void this.#flowAfter(this.#pending, sink)
  }

  resume(): void {
    if (this.#flows) this.#body.resume()
  }

  cancel(): void {
    this.#isCancelled = true
    this.#body.cancel()
  }

  async #flowAfter(pending: Promise<Uint8Array | undefined>, sink: ByteSink): Promise<void> {
    try {
      const chunk = await pending
      if (this.#isCancelled) return
      if (chunk !== undefined) sink.write(chunk)
      this.#flowOn(sink)
    } catch (error) {
      if (!this.#isCancelled) sink.fail(error)
    }
  }

  #flowOn(sink: ByteSink): void {
    if (this.#isCancelled) return
    this.#flows = true
    this.#body.flow(sink)
  }
}

function join(chunks: readonly Uint8Array[]): Uint8Array {
  return chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)
}
