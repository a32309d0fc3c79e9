import type { RequestBody } from '../../http/request-body.ts'
import { bufferOver } from '../relay/event-scanner.ts'

/** Longest head of a part, and longest value, that is looked at; a model's name is far shorter. */
const maxBytes = 512

/** Bytes of the longest form without files that is looked at. */
const maxPlainForm = 64 * 1024

/**
 * The text of one field of a form: routing needs the model's name, and what is sent on are the client's own bytes.
 * Undefined when it is not there.
 */
export function formField(body: RequestBody | undefined, contentType = '', name: string): string | undefined {
  if (body === undefined) return undefined
  if (/^application\/x-www-form-urlencoded\s*(?:;|$)/i.test(contentType)) {
    if (body.byteLength > maxPlainForm) return undefined
    return new URLSearchParams(bufferOver(body.bytes()).toString()).get(name) ?? undefined
  }
  const boundary = /^multipart\/form-data\s*;(?:.*;)?\s*boundary=(?:"([^"]+)"|([^\s;"]+))/i.exec(contentType)
  return boundary === null
    ? undefined
    : partOf(bufferOver(body.bytes()), `\r\n--${boundary[1] ?? boundary[2]}`, name)
}

/** Of `multipart/form-data` (RFC 7578), found without looking into the files in it. */
function partOf(bytes: Buffer, delimiter: string, name: string): string | undefined {
  // The first delimiter has no line end before it.
  let part = bytes.indexOf(delimiter.slice(2))
  while (part !== -1) {
    const next = bytes.indexOf(delimiter, part + delimiter.length - 2)
    if (next === -1) return undefined
    const value = bytes.indexOf('\r\n\r\n', part) + 4
    if (value >= 4 && value <= next && value - part <= maxBytes + delimiter.length) {
      const head = bytes.toString('latin1', part, value)
      if (nameOf(head) === name)
        return next - value > maxBytes ? undefined : bytes.toString('utf8', value, next)
    }
    part = next + 2
  }
  return undefined
}

function nameOf(head: string): string | undefined {
  const found = /^content-disposition:\s*form-data\s*;(?:[^\r\n]*?;)?\s*name=(?:"([^"]*)"|([^\s;"]+))/im.exec(
    head,
  )
  return found?.[1] ?? found?.[2]
}
