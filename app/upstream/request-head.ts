import { fieldName, type OutgoingRequest, TransportError } from './http-client.ts'

/** What is more than one byte in latin1 could become a line end in it. */
const unsafe = /[^\t\x20-\x7e\x80-\xff]/
const usuallyEmpty = new Set(['GET', 'HEAD', 'DELETE', 'OPTIONS'])

/**
 * The head of a request as it goes over the wire, with Host and Content-Length; latin1.
 *
 * @throws TransportError `unsendable` for what would break the line it stands in
 */
export function requestHead({ method, path, headers, body }: OutgoingRequest, host: string): string {
  if (/[^\x21-\x7e\x80-\xff]/.test(path)) throw new TransportError('unsendable', 'BAD_PATH')
  let head = `${method} ${path} HTTP/1.1\r\nhost: ${host}\r\n`
  for (const [name, value] of headers) {
    if (unsafe.test(value) || !fieldName.test(name)) throw new TransportError('unsendable', 'BAD_HEADER')
    head += `${name}: ${value}\r\n`
  }
  if (body !== undefined && (body.byteLength > 0 || !usuallyEmpty.has(method))) {
    head += `content-length: ${body.byteLength}\r\n`
  } else if (body === undefined && !usuallyEmpty.has(method)) {
    head += 'content-length: 0\r\n'
  }
  return `${head}\r\n`
}
