import type { RequestBody } from '../../http/request-body.ts'
import { bufferOver } from '../relay/event-scanner.ts'

/** Bytes of the longest form without files that is looked at. */
const maxPlainForm = 64 * 1024
/** Bytes of the longest head of a part, and of the longest value. */
const maxBytes = 4096

/** Parameters beside the boundary may be read in more than one way. */
const multipart = /^multipart\/form-data; ?boundary=(?:"([\w'()+,./:=?-]{1,70})"|([\w'()+./:=?-]{1,70}))$/i
const urlEncoded = /^application\/x-www-form-urlencoded(?:; ?charset=utf-8)?$/i

export function isForm(contentType: string): boolean {
  return /multipart|x-www-form-urlencoded/i.test(contentType)
}

/**
 * All values of one field of a form; undefined where two readers of the form could disagree on them. Whoever may use
 * one model only must not reach another one because the worker finds its name in a place where it was not looked for.
 */
export function valuesInForm(body: RequestBody, contentType: string, name: string): string[] | undefined {
  if (urlEncoded.test(contentType)) {
    // Some readers take a semicolon for the end of a value.
    const text = body.byteLength > maxPlainForm ? ';' : bufferOver(body.bytes()).toString('latin1')
    return text.includes(';') ? undefined : new URLSearchParams(text).getAll(name)
  }
  const boundary = multipart.exec(contentType)
  return boundary === null
    ? undefined
    : valuesInParts(bufferOver(body.bytes()), boundary[1] ?? boundary[2] ?? '', name)
}

/** RFC 7578, as clients write it: nothing before the first part and behind the last, one plain head for each. */
function valuesInParts(bytes: Buffer, boundary: string, name: string): string[] | undefined {
  const delimiter = Buffer.from(`\r\n--${boundary}`)
  const values: string[] = []
  if (!bytes.subarray(0, delimiter.byteLength - 2).equals(delimiter.subarray(2))) return undefined
  let at = delimiter.byteLength - 2
  while (bytes.toString('latin1', at, at + 2) === '\r\n') {
    const headEnd = bytes.indexOf('\r\n\r\n', at)
    if (headEnd === -1 || headEnd - at > maxBytes) return undefined
    const own = nameIn(bytes.toString('latin1', at + 2, headEnd))
    const valueAt = headEnd + 4
    // An empty value: the delimiter begins with the line end of the head.
    const end = bytes.indexOf(delimiter, valueAt - 2)
    if (own === undefined || end === -1) return undefined
    if (own === name) {
      if (end - valueAt > maxBytes) return undefined
      values.push(bytes.toString('utf8', valueAt, Math.max(valueAt, end)))
    }
    at = end + delimiter.byteLength
  }
  return /^--(?:\r\n)?$/.test(bytes.toString('latin1', at, at + 5)) && bytes.byteLength - at <= 4
    ? values
    : undefined
}

const disposition =
  /^content-disposition: ?form-data; ?name="([^"\\;\r\n]*)"(?:; ?filename="[^"\\;\r\n]*")?(?:; ?filename\*=[\w'%.!#$&+^`|~-]+)?$/i
const harmless =
  /^(?:content-type|content-length): ?[^\r\n]*$|^content-transfer-encoding: ?(?:binary|8bit|7bit)$/i

/** Of the part with this head; undefined where it is not plain. */
function nameIn(head: string): string | undefined {
  const lines = head.split('\r\n')
  const names = lines.flatMap((line) => disposition.exec(line)?.[1] ?? [])
  const others = lines.filter((line) => !disposition.test(line))
  return names.length === 1 && others.every((line) => harmless.test(line)) ? names[0] : undefined
}
