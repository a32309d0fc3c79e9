import { isIPv6 } from 'node:net'
import { headerOf } from '../../http/incoming.ts'
import type { HeaderFields } from '../upstream/http-client.ts'

/** Between whom and what the router stands for one request. */
export interface Forwarding {
  /** The address that is connected. */
  readonly peer: string
  /** It came over TLS. */
  readonly secure: boolean
  /** What the peer says of its own client is believed, and passed on. */
  readonly trusted: boolean
}

/** Fields by which proxies tell of their clients; `name` in lower case. */
export function tellsOfClients(name: string): boolean {
  return name.startsWith('x-forwarded-') || name === 'forwarded' || name === 'x-real-ip'
}

/** Fields that the router writes anew, also where it believes the peer. */
export function isExtended(name: string): boolean {
  return name === 'x-forwarded-for' || name === 'forwarded'
}

type Field = HeaderFields[number]

/** Adds what the worker gets to know of the client, as proxies do: one more address, and how the client came to us. */
export function addForwarding(list: Field[], headers: HeaderFields, forwarding: Forwarding): void {
  const { peer, secure, trusted } = forwarding
  const before = (name: string) => (trusted ? headerOf(headers, name) : undefined)
  const addresses = before('x-forwarded-for')
  list.push(['x-forwarded-for', addresses === undefined ? peer : `${addresses}, ${peer}`])
  if (before('x-forwarded-proto') === undefined) list.push(['x-forwarded-proto', secure ? 'https' : 'http'])
  const host = headerOf(headers, 'host')
  if (host !== undefined && before('x-forwarded-host') === undefined) list.push(['x-forwarded-host', host])
  const chain = before('forwarded')
  if (chain !== undefined) list.push(['forwarded', `${chain}, for=${isIPv6(peer) ? `"[${peer}]"` : peer}`])
}
