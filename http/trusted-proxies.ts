import { BlockList, isIP } from 'node:net'
import { clientBehind, type ForwardedField, forwardedFor, plainAddress, xForwardedFor } from './forwarded.ts'
import type { Incoming } from './incoming.ts'

/** The proxies in front of the router whose word on their clients is believed. */
export class TrustedProxies {
  readonly #ranges = new BlockList()
  readonly #field: ForwardedField
  /** There are some. */
  readonly #any: boolean
  readonly has = (address: string): boolean => {
    const kind = isIP(address)
    return kind !== 0 && this.#ranges.check(address, kind === 6 ? 'ipv6' : 'ipv4')
  }

  /**
   * @param ranges addresses, and ranges such as 10.0.0.0/8; checked ones
   * @param field the header that these proxies write; they may pass on another one as a client has made it up
   */
  constructor(ranges: readonly string[], field: ForwardedField) {
    this.#any = ranges.length > 0
    this.#field = field
    for (const range of ranges) {
      const [address = '', bits] = range.split('/')
      const kind = isIP(address) === 6 ? 'ipv6' : 'ipv4'
      if (bits === undefined) this.#ranges.addAddress(address, kind)
      else this.#ranges.addSubnet(address, Number(bits), kind)
    }
  }

  /** Whether the connection comes from one of them. */
  sent({ remoteAddress }: Pick<Incoming, 'remoteAddress'>): boolean {
    return this.#any && remoteAddress !== undefined && this.has(plainAddress(remoteAddress))
  }

  /** Address of the client, as far as somebody who is believed tells it; undefined where there is no connection. */
  clientOf(incoming: Pick<Incoming, 'remoteAddress' | 'header'>): string | undefined {
    const { remoteAddress } = incoming
    if (remoteAddress === undefined) return undefined
    const peer = plainAddress(remoteAddress)
    if (!this.#any || !this.has(peer)) return peer
    const value = incoming.header(this.#field)
    if (value === undefined) return peer
    const hops = this.#field === 'forwarded' ? forwardedFor(value) : xForwardedFor(value)
    return clientBehind(peer, hops, this.has)
  }
}
