import { RouterError } from '../errors.ts'
import type { RequestBody } from '../request-body.ts'
import { findJsonFault } from './find-json-fault.ts'
import type { JsonValue } from './json.ts'
import { outlineJson } from './outline-json.ts'
import { type Skim, skimJson } from './skim-json.ts'

/** Python's own parser gives up at about this depth, so that a worker would refuse the body as well. */
const maxDepth = 1000
const maxContainers = 1_000_000

/** Brackets. Measured: as many, nested as badly as can be, keep the parser busy for 4 ms. */
const harmless = 64 * 1024

/** Also drops a byte order mark, as Python does. */
const utf8 = new TextDecoder('utf-8', { fatal: true })

/**
 * The value of a JSON body.
 *
 * @throws RouterError `invalid_json` with line and column, never with a piece of the body; `invalid_request` for a body
 * of more than a million objects and arrays, or of more than 65 536 that nest deeper than 1000 levels.
 */
export function parseJson(body: RequestBody | undefined): JsonValue {
  if (body === undefined || body.byteLength === 0) {
    throw new RouterError('invalid_json', 'The request body is empty; it must be a JSON object.')
  }
  return parseText(decode(body.bytes()))
}

/** A body read for routing. */
export interface Payload {
  readonly value: JsonValue
  /** Only the fields that routing looks at were read. */
  readonly skimmed?: true
}

/** Fields that routing looks at. */
const routingFields: ReadonlySet<string> = new Set([
  ...['model', 'stream', 'previous_response_id', 'n', 'session_id', 'user', 'prompt_cache_key', 'priority'],
])

/** Bytes. What so short a text can hold is parsed within some 20 ms, however it is made. */
const shortText = 256 * 1024

/**
 * The value of a JSON body, at a bounded cost: a million keys would keep the process busy for a second, and all streams
 * would stand still. Of a body with so many, only the fields that routing needs are read; the worker reads the rest.
 *
 * @param outline one character in place of each long string where that is quicker: see `outlineJson`
 * @throws RouterError as `parseJson`
 */
export function readJson(body: RequestBody | undefined, outline: boolean): Payload | Promise<Payload> {
  const text = outline && body !== undefined ? outlineJson(body) : undefined
  const length = text?.length ?? body?.byteLength ?? 0
  if (body === undefined || length <= shortText) return { value: parsed(body, text) }
  return skimFirst(body, text)
}

function parsed(body: RequestBody | undefined, outline: string | undefined): JsonValue {
  if (outline === undefined) return parseJson(body)
  try {
    return parseText(outline)
  } catch {
    // The whole has the last word, and says where in the client's own text the fault is.
    return parseJson(body)
  }
}

async function skimFirst(body: RequestBody, outline: string | undefined): Promise<Payload> {
  const pieces = outline === undefined ? body.pieces : [Buffer.from(outline)]
  const skim = await skimJson(pieces, routingFields)
  if (skim.containers > maxContainers || (skim.containers > harmless && skim.depth > maxDepth))
    throw tooNested()
  return parsingMs(skim) > longestParseMs
    ? { value: skim.fields, skimmed: true }
    : { value: parsed(body, outline) }
}

/** Milliseconds. */
const longestParseMs = 30

/** Measured on both runtimes: about 1 us for a key that no other object has, 60 ns for a container, 20 ns for a value. */
function parsingMs({ keys, containers, commas }: Skim): number {
  return keys * 1e-3 + containers * 6e-5 + commas * 2e-5
}

function parseText(text: string): JsonValue {
  if (text.length > harmless && hasManyBrackets(text)) refuseExcessiveNesting(text)
  try {
    return JSON.parse(text)
  } catch {
    throw new RouterError('invalid_json', `The request body is not valid JSON: ${whatIsWrong(text)}.`)
  }
}

function decode(body: Uint8Array): string {
  try {
    return utf8.decode(body)
  } catch {
    throw new RouterError('invalid_json', 'The request body is not valid JSON: it is not encoded in UTF-8.')
  }
}

/** Leaves nearly every body, a megabyte of text or of token ids too, to the runtime's fast search. */
function hasManyBrackets(text: string): boolean {
  let left = harmless
  for (const bracket of ['[', '{']) {
    for (let at = text.indexOf(bracket); at !== -1; at = text.indexOf(bracket, at + 1)) {
      if (--left < 0) return true
    }
  }
  return false
}

/**
 * The parsers of both runtimes survive any depth, but 64 MiB of `[` keep the process busy for 8 to 10 s and cost Bun
 * 4.9 GB.
 */
function refuseExcessiveNesting(text: string): void {
  let depth = 0
  let containers = 0
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === 34) {
      at = closingQuote(text, at)
    } else if (code === 91 || code === 123) {
      containers++
      if (++depth > maxDepth || containers > maxContainers) throw tooNested()
    } else if (code === 93 || code === 125) {
      depth--
    }
  }
}

function closingQuote(text: string, opening: number): number {
  let at = opening
  for (;;) {
    at = text.indexOf('"', at + 1)
    if (at === -1) return text.length
    let backslashes = 0
    while (text.charCodeAt(at - 1 - backslashes) === 92) backslashes++
    if (backslashes % 2 === 0) return at
  }
}

function tooNested(): RouterError {
  return new RouterError(
    'invalid_request',
    `The request body may nest at most ${maxDepth} levels deep and hold at most ${maxContainers} objects and arrays.`,
  )
}

function whatIsWrong(text: string): string {
  const fault = findJsonFault(text)
  if (fault === undefined) return 'it cannot be parsed'
  let line = 1
  let lineStart = 0
  for (let at = text.indexOf('\n'); at !== -1 && at < fault.offset; at = text.indexOf('\n', lineStart)) {
    line++
    lineStart = at + 1
  }
  const where = `line ${line}, column ${fault.offset - lineStart + 1}`
  return fault.offset === text.length
    ? `it ends at ${where} where ${fault.expected} is missing`
    : `expected ${fault.expected} at ${where}`
}
