import { responseHeaders } from '../relay/headers.ts'
import type { Field, RequestRecord } from '../request/request-record.ts'
import type { HeaderFields } from '../upstream/http-client.ts'

/**
 * The header of an answer: the worker's fields and the router's own. A plain object where it will do: on Node, `Headers`
 * would be built only to be taken apart again.
 *
 * @param ownCors see `responseHeaders`
 */
export function answerHeaders(
  headers: HeaderFields,
  record: RequestRecord,
  ownCors: boolean,
): Headers | Record<string, string> {
  const fields = responseHeaders(headers, ownCors)
  const list: Record<string, string> = {}
  for (const field of fields) {
    const name = field[0]
    if (list[name] !== undefined)
      return new Headers([...fields, ...Object.entries(withOwn({}, record))] as [string, string][])
    list[name] = field[1]
  }
  return withOwn(list, record)
}

function withOwn(list: Record<string, string>, record: RequestRecord): Record<string, string> {
  list['x-request-id'] = record.requestId
  list['x-router-worker'] = record.workerId ?? ''
  list['x-router-attempts'] = String(record.attempts)
  if (record.answeredBy !== undefined) list['x-router-model'] = record.answeredBy
  return list
}

/** Adds a field to such a header. */
export function addField(headers: Headers | Record<string, string>, [name, value]: Field): void {
  if (headers instanceof Headers) headers.set(name, value)
  else headers[name] = value
}
