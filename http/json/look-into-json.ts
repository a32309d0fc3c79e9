import type { RequestBody } from '../request-body.ts'
import { isObject, type JsonObject } from './json.ts'
import { type Payload, readJson } from './parse-json.ts'

const openingBrace = 0x7b
const byteOrderMark = [0xef, 0xbb, 0xbf]

/**
 * What a body says that need not be JSON: routing wants the model's name on every route, also on one that the next vLLM
 * brings. By the first byte, not by the content type: some routes of vLLM read JSON under any. Undefined where it is no
 * JSON object; the worker has the last word on it.
 */
export function lookIntoJson(
  body: RequestBody | undefined,
  outline: boolean,
): JsonObject | undefined | Promise<JsonObject | undefined> {
  if (body === undefined || !beginsAnObject(body.pieces[0])) return undefined
  try {
    const read = readJson(body, outline)
    return read instanceof Promise ? read.then(objectIn, () => undefined) : objectIn(read)
  } catch {
    return undefined
  }
}

function objectIn({ value }: Payload): JsonObject | undefined {
  return isObject(value) ? (value as JsonObject) : undefined
}

function beginsAnObject(bytes: Uint8Array | undefined): boolean {
  if (bytes === undefined) return false
  let at = byteOrderMark.every((byte, index) => bytes[index] === byte) ? byteOrderMark.length : 0
  while (isSpace(bytes[at])) at++
  return bytes[at] === openingBrace
}

/** RFC 8259, section 2. */
function isSpace(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09
}
