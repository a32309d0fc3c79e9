import { closingQuote } from '../../http/json/closing-quote.ts'
import type { RequestRecord, Usage } from '../request/request-record.ts'
import { bufferOver } from './event-scanner.ts'

const key = Buffer.from('"usage"')

/** Brackets that may be closed behind the usage: those of the answer itself, or of an event and of the answer in it. */
const inAnswer = 1
const inEvent = 2

/**
 * The usage of a request, in the bytes of its whole answer or of the last events of its stream; undefined where it says
 * none. Whoever fetches a stored response gets its usage once more, and it was counted when it was made.
 */
export function usageOf(record: RequestRecord, bytes: Uint8Array, isEventStream: boolean): Usage | undefined {
  if (record.method !== 'POST' || record.path.startsWith('/v1/responses/')) return undefined
  return findUsage(bytes, isEventStream ? inEvent : inAnswer)
}

/** Places that are looked at: who writes more of them into a request, so that the answer repeats them, has none. */
const mostPlaces = 8

/**
 * Finds the last `usage` object within the bytes of an answer, a JSON body or the end of a stream, without parsing the
 * rest: an answer with embeddings has megabytes. Quotes within strings are escaped, so the key cannot be text. It can be
 * a client's own all the same, in what an answer repeats of its request (the parameters of a tool of `/v1/responses`):
 * that stands further inside.
 *
 * @param deepest levels at which it may stand
 */
export function findUsage(bytes: Uint8Array, deepest = inEvent): Usage | undefined {
  const buffer = bufferOver(bytes)
  let places = 0
  for (let at = buffer.lastIndexOf(key); at !== -1; at = at === 0 ? -1 : buffer.lastIndexOf(key, at - 1)) {
    const object = objectBehind(buffer, at + key.length)
    if (object === undefined) continue
    if (levelOf(buffer, object.end) <= deepest) {
      const usage = toUsage(object.text)
      if (usage !== undefined) return usage
    }
    if (++places === mostPlaces) return undefined
  }
  return undefined
}

/** Longest usage object that is looked at; vLLM's has some 200 bytes. */
const maxBytes = 4096

/** The object that is the value of a key. @param from the first byte behind the key */
function objectBehind(
  buffer: Buffer,
  from: number,
): { readonly text: string; readonly end: number } | undefined {
  const text = buffer.toString('latin1', from, from + maxBytes)
  const open = /^\s*:\s*(?=\{)/.exec(text)
  if (open === null) return undefined
  const start = open[0].length
  let depth = 0
  for (let index = start; index < text.length; index++) {
    if (text[index] === '{') depth += 1
    else if (text[index] === '}' && --depth === 0)
      return { text: text.slice(start, index + 1), end: from + index + 1 }
  }
  return undefined
}

const quote = 0x22
const comma = 0x2c
/** Of `[` and `{`, and of `]` and `}`, without the bit in which they differ. */
const opening = 0x5b
const closing = 0x5d
const differing = 0x20

/** How many brackets of a JSON text are open at `from`: as many as are closed behind it and were not opened there. */
function levelOf(buffer: Buffer, from: number): number {
  let level = 0
  let open = 0
  let isClosed = false
  for (let at = from; at < buffer.length; at++) {
    const byte = buffer[at]!
    if (byte <= 0x20) continue
    const bracket = byte & ~differing
    // Behind the outermost bracket, the text is over: the next event begins.
    if (isClosed && open === 0 && bracket !== closing && byte !== comma) return level
    isClosed = bracket === closing
    if (byte === quote) at = closingQuote(buffer, at)
    else if (bracket === opening) open++
    else if (isClosed && open > 0) open--
    else if (isClosed) level++
  }
  return level
}

interface Counts {
  readonly prompt_tokens?: number
  readonly completion_tokens?: number
  readonly input_tokens?: number
  readonly output_tokens?: number
  readonly total_tokens?: number
  readonly prompt_tokens_details?: { readonly cached_tokens?: number } | null
  readonly input_tokens_details?: { readonly cached_tokens?: number } | null
  readonly cache_read_input_tokens?: number
}

function toUsage(text: string): Usage | undefined {
  try {
    const usage = JSON.parse(text) as Counts
    // Where no answer is written, some only tell the sum.
    const prompt = usage.prompt_tokens ?? usage.input_tokens ?? usage.total_tokens
    const completion = usage.completion_tokens ?? usage.output_tokens
    // Other counts than these are as good as none.
    if (prompt === undefined && completion === undefined) return undefined
    const cached =
      usage.prompt_tokens_details?.cached_tokens ??
      usage.input_tokens_details?.cached_tokens ??
      usage.cache_read_input_tokens
    return {
      prompt: count(prompt),
      completion: count(completion),
      cached: cached === undefined ? undefined : count(cached),
    }
  } catch {
    return undefined
  }
}

function count(value: unknown): number {
  return typeof value === 'number' && value >= 0 ? value : 0
}
