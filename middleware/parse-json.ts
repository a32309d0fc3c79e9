import { RouterError } from './errors.ts'
import { findJsonFault } from './find-json-fault.ts'
import type { JsonValue } from './gateway-env.ts'
import { outlineJson } from './outline-json.ts'
import type { RequestBody } from './request-body.ts'

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

/** The same, with one character in place of each long string where that is quicker: see `outlineJson`. */
export function parseJsonOutline(body: RequestBody | undefined): JsonValue {
  const outline = body === undefined ? undefined : outlineJson(body)
  if (outline === undefined) return parseJson(body)
  try {
    return parseText(outline)
  } catch {
    // The whole has the last word, and says where in the client's own text the fault is.
    return parseJson(body)
  }
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
