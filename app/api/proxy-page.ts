import { RouterError } from '../../http/errors.ts'
import { bufferOver } from '../relay/event-scanner.ts'
import type { Answer } from '../relay/exchange.ts'
import { firstHeader } from '../relay/headers.ts'
import type { HeaderFields } from '../upstream/http-client.ts'

/** Characters of a page that go into the log. */
const maxLogged = 2000

/**
 * The text of an error page that no vLLM writes: a proxy in front of the worker made it, for browsers. Undefined for
 * every other answer, and for a client that asks for pages.
 */
export function proxyPage({ status, headers, body }: Answer, request: HeaderFields): string | undefined {
  if (status < 500 || !(body instanceof Uint8Array)) return undefined
  if (!/^text\/html\b/i.test(firstHeader(headers, 'content-type') ?? '')) return undefined
  if (firstHeader(request, 'accept')?.includes('text/html')) return undefined
  return bufferOver(body).toString('utf8').slice(0, maxLogged)
}

/** What a client of the API gets instead. */
export function proxyFault(status: number): RouterError {
  const message = `a proxy in front of the worker answered with an error page of its own (status ${status})`
  return new RouterError('bad_worker_response', message)
}
