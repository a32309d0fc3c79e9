import type { HeaderFields } from '../upstream/http-client.ts'
import { addForwarding, type Forwarding, isExtended, tellsOfClients } from './forwarding.ts'

/** Fields that belong to one connection (RFC 9110, section 7.6.1), not to the message. */
const hopByHop: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])

/** The client has the admin key, which is the value, and wants to know the way of its request: in the other field. */
export const explainField = 'x-router-explain'
export const decisionField = 'x-router-decision'

/** Fields of a client's request that do not go to a worker: also those the router writes anew, or that speak to it. */
const keptFromWorkers: ReadonlySet<string> = new Set([
  ...hopByHop,
  'host',
  'content-length',
  'expect',
  // A compressed stream could not be watched event by event.
  'accept-encoding',
  'x-request-id',
  'x-request-timeout-ms',
  // The key of the router's administrator: no worker gets to see it.
  'x-admin-api-key',
  explainField,
])

/** Fields named in `Connection:` are hop-by-hop too: takes them out. Nearly always there are none. */
function withoutNamed(list: Field[], headers: HeaderFields): Field[] {
  const named = new Set<string>()
  for (const [name, value] of headers) {
    if (name.toLowerCase() !== 'connection') continue
    for (const token of value.split(',')) named.add(token.trim().toLowerCase())
  }
  named.delete('close')
  return list.filter(([name]) => !named.has(name.toLowerCase()))
}

/** The two values of `Connection:` that name no field, as they are usually written. */
function namesFields(connection: string): boolean {
  return connection !== 'keep-alive' && connection !== 'close'
}

type Field = HeaderFields[number]

export interface RequestHeaderOptions {
  /** Under which the worker's engine knows the request. */
  readonly requestId: string
  /** Key for the workers, used when the client sends none of its own. */
  readonly workerKey: string | undefined
  /** The client's key is one for the router: workers do not get to see it. */
  readonly dropClientKey: boolean
  /** The body is sent on decoded: what the client says of its encoding is no longer true. */
  readonly bodyDecoded: boolean
  /** Undefined where there is no connection: then the fields of proxies are somebody else's affair. */
  readonly forwarding?: Forwarding | undefined
}

/** Those that carry a key. */
export const keyFields: ReadonlySet<string> = new Set(['authorization', 'x-api-key', 'api-key'])

/** The header of a request to a worker: the client's, less what was between the client and the router. */
export function requestHeaders(
  headers: HeaderFields,
  { requestId, workerKey, dropClientKey, bodyDecoded, forwarding }: RequestHeaderOptions,
): HeaderFields {
  let list: Field[] = []
  let namesMore = false
  for (const field of headers) {
    const name = field[0].toLowerCase()
    if (name === 'connection') namesMore ||= namesFields(field[1])
    if (keptFromWorkers.has(name) || (dropClientKey && keyFields.has(name))) continue
    if (bodyDecoded && name === 'content-encoding') continue
    if (forwarding !== undefined && tellsOfClients(name) && (!forwarding.trusted || isExtended(name)))
      continue
    list.push(field)
  }
  if (namesMore) list = withoutNamed(list, headers)
  const authorized = workerKey === undefined || firstHeader(list, 'authorization') !== undefined
  list.push(['x-request-id', requestId], ['accept-encoding', 'identity'])
  if (forwarding !== undefined) addForwarding(list, headers, forwarding)
  if (!authorized) list.push(['authorization', `Bearer ${workerKey}`])
  return list
}

/** What is left of the request's time at this attempt, in milliseconds: the worker need not work longer. */
export function withTimeLeft(headers: HeaderFields, ms: number): HeaderFields {
  return [...headers, ['x-request-timeout-ms', String(Math.max(1, Math.floor(ms)))]]
}

const rankField = 'x-data-parallel-rank'

/** vLLM takes the data-parallel rank that is to serve a request from this field. */
export function withRank(headers: HeaderFields, rank: number): HeaderFields {
  return [...headers.filter(([name]) => name.toLowerCase() !== rankField), [rankField, String(rank)]]
}

/** Fields of a worker's answer that do not go to the client. */
const keptFromClients: ReadonlySet<string> = new Set([
  ...hopByHop,
  // The length is written anew where the body is whole, and falls away where it is a stream.
  'content-length',
  'x-request-id',
  'x-router-worker',
  'x-router-attempts',
  decisionField,
])

/**
 * The header of a worker's answer as the client gets it; names in lower case.
 *
 * @param ownCors the router has a list of its own of what browsers may do: what a worker allows them does not count
 */
export function responseHeaders(headers: HeaderFields, ownCors = false): HeaderFields {
  const list: Field[] = []
  let namesMore = false
  for (const field of headers) {
    const name = field[0].toLowerCase()
    if (name === 'connection') namesMore ||= namesFields(field[1])
    if (keptFromClients.has(name) || (ownCors && name.startsWith('access-control-'))) continue
    list.push([name, field[1]])
  }
  return namesMore ? withoutNamed(list, headers) : list
}

/** The first value of a field; `name` in lower case. */
export function firstHeader(headers: HeaderFields, name: string): string | undefined {
  for (const field of headers) {
    if (field[0].length === name.length && field[0].toLowerCase() === name) return field[1]
  }
  return undefined
}
