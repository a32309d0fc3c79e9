import { fieldName, TransportError } from './http-client.ts'

/**
 * What a value may hold (RFC 9110, section 5.5): also bytes above 0x7f, but no control character save the tab. Neither
 * runtime sends such a one on in the same way.
 */
const fieldValue = /^[\t -~\x80-\xff]*$/

/** The header fields of a head, and what they say about the end of the message and of the connection. */
export class ResponseFields {
  readonly list: [string, string][] = []
  chunked = false
  length: number | undefined
  close = false
  keepAlive = false

  /** @param from offset of the line end before the first field, -1 when there is none */
  constructor(head: string, from: number) {
    let at = from
    while (at !== -1) {
      const end = head.indexOf('\r\n', at + 2)
      this.#add(head.slice(at + 2, end === -1 ? undefined : end))
      at = end
    }
    if (this.chunked && this.length !== undefined) throw fault('TWO_LENGTHS')
  }

  #add(line: string): void {
    const colon = line.indexOf(':')
    const name = line.slice(0, Math.max(colon, 0))
    const raw = line.slice(colon + 1)
    // A folded line begins with a space, and is refused with it (RFC 9112, section 5.2).
    if (!fieldName.test(name) || !fieldValue.test(raw)) throw fault('BAD_HEADER')
    const value = trimmed(raw)
    this.list.push([name, value])
    switch (name.length) {
      case 10:
        if (name.toLowerCase() === 'connection') this.#readConnection(value.toLowerCase())
        break
      case 14:
        if (name.toLowerCase() === 'content-length') this.#readLength(value)
        break
      case 17:
        if (name.toLowerCase() === 'transfer-encoding') this.#readEncoding(value)
    }
  }

  #readConnection(value: string): void {
    for (const option of value.split(',')) {
      if (option.trim() === 'close') this.close = true
      else if (option.trim() === 'keep-alive') this.keepAlive = true
    }
  }

  #readLength(value: string): void {
    if (this.length !== undefined || !/^\d{1,15}$/.test(value)) throw fault('BAD_CONTENT_LENGTH')
    this.length = Number(value)
  }

  #readEncoding(value: string): void {
    if (this.chunked || value.toLowerCase() !== 'chunked') throw fault('BAD_TRANSFER_ENCODING')
    this.chunked = true
  }
}

/** Without spaces and tabs at both ends: `trim` would also take bytes above 0x7f, which belong to the value. */
function trimmed(value: string): string {
  let start = 0
  let end = value.length
  while (isBlank(value.charCodeAt(start))) start++
  while (end > start && isBlank(value.charCodeAt(end - 1))) end--
  return value.slice(start, end)
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09
}

/**
 * The error for bytes that are not HTTP/1.1.
 * @param code what is wrong, for example `BAD_HEADER`
 */
export function fault(code: string): TransportError {
  return new TransportError('protocol', code)
}
