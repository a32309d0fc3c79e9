import { responseHeaders } from '../relay/headers.ts'
import type { HeaderFields } from '../runtime/http-client.ts'
import type { RequestRecord } from '../telemetry/request-record.ts'

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
      return new Headers([...fields, ...Object.entries(ownHeaders(record))] as [string, string][])
    list[name] = field[1]
  }
  return Object.assign(list, ownHeaders(record))
}

function ownHeaders({ requestId, workerId, attempts }: RequestRecord): Record<string, string> {
  return {
    'x-request-id': requestId,
    'x-router-worker': workerId ?? '',
    'x-router-attempts': String(attempts),
  }
}
