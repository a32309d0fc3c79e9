import { isIP } from 'node:net'
import type { Parsed } from './kind.ts'

/** Checks an address, or a range of addresses such as `10.0.0.0/8` or `2001:db8::/32`. */
export function parseIpRange(written: string): Parsed<string> {
  const [, address = '', bits] = /^([^/]*)(?:\/(\d{1,3}))?$/.exec(written) ?? []
  const kind = isIP(address)
  if (kind === 0 || address.includes('%')) {
    const named = /^\[.*\]/.test(written) ? 'leave out the brackets' : undefined
    return { hint: /[a-z]/i.test(written) && !written.includes(':') ? 'names are not looked up' : named }
  }
  const most = kind === 6 ? 128 : 32
  if (bits !== undefined && Number(bits) > most) return { hint: `the part after / is at most ${most}` }
  return { value: written.toLowerCase() }
}
