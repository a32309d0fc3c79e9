import { isIP } from 'node:net'

/** The header in which a chain of proxies says whom each of them serves. */
export const forwardedFields = ['x-forwarded-for', 'forwarded'] as const
export type ForwardedField = (typeof forwardedFields)[number]

/** Longest chain of proxies that is followed: whoever writes a longer one means no good. */
const mostHops = 32
/** Characters and pairs of `Forwarded`, which can be read from its beginning only: each client may send one. */
const longestForwarded = 4096
const mostPairs = 256
/** Characters of an address with its zone, brackets and port. */
const longestAddress = 100

/**
 * Walks a chain of proxies backwards, from the one that is connected to the client of the first: to the first address that
 * is no proxy's, or as far as the chain can be read. What lies behind that is said by somebody who need not be believed.
 *
 * @param peer the address that is connected
 * @param hops what the proxies have written, the nearest last; undefined for what is no address
 */
export function clientBehind(
  peer: string,
  hops: readonly (string | undefined)[],
  isProxy: (address: string) => boolean,
): string {
  let client = peer
  for (let at = hops.length - 1; at >= 0 && at >= hops.length - mostHops; at--) {
    if (!isProxy(client)) return client
    const hop = hops[at]
    if (hop === undefined) return client
    client = hop
  }
  return client
}

/** The addresses of `X-Forwarded-For` that are followed, the nearest last; undefined for what is none. */
export function xForwardedFor(value: string): (string | undefined)[] {
  const hops: (string | undefined)[] = []
  for (let end = value.length; end >= 0 && hops.length < mostHops; ) {
    const comma = end === 0 ? -1 : value.lastIndexOf(',', end - 1)
    hops.push(addressIn(value.slice(comma + 1, end).trim()))
    end = comma
  }
  return hops.reverse()
}

/**
 * The addresses of `Forwarded` (RFC 7239), the nearest last; undefined for an element without one: `for=unknown`, a name
 * that a proxy has made up. A value that is not what the RFC allows, or is very long, has none at all: with a quotation mark of its own, a
 * client could otherwise swallow what a proxy adds.
 */
export function forwardedFor(value: string): (string | undefined)[] {
  const addresses: (string | undefined)[] = []
  for (const element of elementsOf(value)) {
    const pair = element.find(([name]) => name === 'for')
    addresses.push(pair === undefined ? undefined : addressIn(pair[1]))
  }
  return addresses
}

type Pair = readonly [name: string, value: string]

// RFC 9110, sections 5.6.2 and 5.6.4: a token, or a quoted string. IPv6 and ports are quoted; many do not, and are read.
const pairAndSeparator =
  /[ \t]*(?:([!#$%&'*+.^_`|~0-9A-Za-z-]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s",;=]+))[ \t]*)?([,;]|$)/y

/** The pairs of each element; none at all where one cannot be read. */
function elementsOf(value: string): Pair[][] {
  if (value.length > longestForwarded) return []
  const elements: Pair[][] = [[]]
  pairAndSeparator.lastIndex = 0
  for (let pairs = 0; ; pairs++) {
    const match = pairAndSeparator.exec(value)
    if (match === null || pairs === mostPairs) return []
    const [, name, quoted, plain, separator] = match
    if (name !== undefined) {
      const text = plain ?? (quoted ?? '').replace(/\\(.)/g, '$1')
      elements.at(-1)?.push([name.toLowerCase(), text])
    }
    if (separator === '') return elements
    if (separator === ',') elements.push([])
  }
}

/** The address of `1.2.3.4`, `1.2.3.4:80`, `2001:db8::1` or `[2001:db8::1]:80`; undefined for anything else. */
export function addressIn(text: string): string | undefined {
  if (text.length > longestAddress) return undefined
  const [, bracketed, withPort] = /^(?:\[([^\]]*)\](?::\d{1,5})?|([^:]*):\d{1,5})$/.exec(text) ?? []
  const address = bracketed ?? withPort ?? text
  const kind = isIP(address)
  if (kind === 0 || (bracketed !== undefined && kind !== 6)) return undefined
  return plainAddress(address)
}

/** IPv4 as such where a listener on both kinds of addresses has it within IPv6; without the zone of a link. */
export function plainAddress(address: string): string {
  if (!address.includes(':')) return address
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1]
  if (mapped !== undefined) return mapped
  const zone = address.indexOf('%')
  return (zone === -1 ? address : address.slice(0, zone)).toLowerCase()
}
