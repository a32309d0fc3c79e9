import { isIPv4 } from 'node:net'
import type { Parsed } from './kind.ts'

const label = '[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?'
const hostName = new RegExp(`^(\\*\\.)?${label}(\\.${label})*$`)

/** Checks one pattern of `--worker-url-allow`: a host, host:port, `*.suffix` or an IPv4 range. */
export function parseAllowPattern(written: string): Parsed<string> {
  const pattern = written.trim().toLowerCase()
  if (pattern.includes('://')) return { hint: `leave out the scheme: "${pattern.replace(/^.*?:\/\//, '')}"` }
  const range = /^(.*)\/(\d{1,2})$/.exec(pattern)
  if (range) return parseRange(range[1] ?? '', Number(range[2]), pattern)
  if (/^\[[0-9a-f:.]+\](:\d+)?$/.test(pattern) && URL.canParse(`http://${pattern}`)) return { value: pattern }
  const [host = '', port, ...rest] = pattern.split(':')
  if (rest.length > 0) return { hint: 'an IPv6 address needs brackets: [::1]' }
  if (port !== undefined && !(/^\d{1,5}$/.test(port) && Number(port) >= 1 && Number(port) <= 65535))
    return { hint: 'its port is not between 1 and 65535' }
  if (/^[\d.]+$/.test(host) && !isIPv4(host)) return { hint: 'it is not an IPv4 address' }
  if (host === '*') return { hint: '* would allow every host: leave the setting out for that' }
  return hostName.test(host) ? { value: pattern } : { hint: undefined }
}

function parseRange(address: string, bits: number, pattern: string): Parsed<string> {
  if (!isIPv4(address)) return { hint: 'ranges are IPv4 only: 10.0.0.0/8' }
  return bits <= 32 ? { value: pattern } : { hint: 'the part after / is at most 32' }
}

/**
 * Whether a worker URL that was added at run time is inside the list. An empty list allows every host.
 *
 * Works on what the URL parser makes of the host, so that `0x7f.1` counts as the 127.0.0.1 it would connect to. Host
 * names are not resolved: an address behind an allowed name is allowed, a name never matches an IPv4 range.
 */
export function workerUrlAllowed(workerUrl: string, patterns: readonly string[]): boolean {
  if (patterns.length === 0) return true
  if (!URL.canParse(workerUrl)) return false
  const url = new URL(workerUrl)
  const host = url.hostname.toLowerCase().replace(/\.$/, '')
  const port = url.port !== '' ? url.port : url.protocol === 'https:' ? '443' : '80'
  return patterns.some((pattern) => matches(pattern, host, port))
}

function matches(pattern: string, host: string, port: string): boolean {
  const range = /^([\d.]+)\/(\d+)$/.exec(pattern)
  if (range) return isIPv4(host) && inRange(host, range[1] ?? '', Number(range[2]))
  const withPort = /^(.*):(\d+)$/.exec(pattern.replace(/\[[^\]]*\]/, (ip) => ip.replaceAll(':', ';')))
  const wanted = (withPort?.[1] ?? pattern).replaceAll(';', ':')
  if (withPort && Number(withPort[2]) !== Number(port)) return false
  return wanted.startsWith('*.') ? host.endsWith(wanted.slice(1)) : host === canonicalHost(wanted)
}

function canonicalHost(host: string): string {
  return host.startsWith('[') ? new URL(`http://${host}`).hostname : host
}

function inRange(host: string, base: string, bits: number): boolean {
  const shift = 2 ** (32 - bits)
  return Math.floor(ipv4(host) / shift) === Math.floor(ipv4(base) / shift)
}

function ipv4(address: string): number {
  return address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0)
}
