import type { Parsed } from './kind.ts'
import { nearest } from './nearest.ts'

/**
 * Reads the address of a worker: http or https, a host, perhaps a port and a path prefix, nothing else.
 *
 * The written port stays even when it is the scheme's default, because the address is a metric label and an answer of
 * `/list_workers`; a trailing slash goes. Credentials are refused: an address is printed, a key must not be.
 */
export function parseWorkerUrl(written: string): Parsed<string> {
  const text = written.trim()
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(text)?.[1]?.toLowerCase()
  if (scheme !== 'http' && scheme !== 'https') return { hint: schemeHint(text, scheme) }
  if (!URL.canParse(text)) return { hint: portHint(text) ?? 'it is not a URL' }
  if (/[\s\\]/.test(text)) return { hint: 'it contains a space or a backslash' }
  const url = new URL(text)
  if (url.username !== '' || url.password !== '' || /^[^/]*\/\/[^/]*@/.test(text))
    return { hint: 'credentials do not belong into an address: use --api-key' }
  if (/[?#]/.test(text)) return { hint: `leave out what follows the path: "${text.replace(/[?#].*$/s, '')}"` }
  // The URL parser lets a comma and more through, so that "http://a,http://b" would be one host.
  if (!/^(\[[0-9a-f:.]+\]|[a-z0-9._-]+)$/.test(url.hostname)) return { hint: 'its host is no host name' }
  if (url.port === '0') return { hint: 'port 0 cannot be connected to' }
  // The base URL of a client ends so; the router puts the routes, /v1 included, behind the address.
  const root = url.pathname.replace(/\/+$/, '')
  if (root.endsWith('/v1')) return { hint: didYouMean(text.replace(/\/v1\/*$/, '')) }
  const port = /^[^/]*\/\/[^/]*:0*(\d+)(?:\/|$)/.exec(text)?.[1]
  const authority = port === undefined ? url.hostname : `${url.hostname}:${port}`
  return { value: `${scheme}://${authority}${url.pathname.replace(/\/+$/, '')}` }
}

/** Two written forms of one address are equal in this form. */
export function canonicalUrl(url: string): string {
  return new URL(url).href
}

function schemeHint(text: string, scheme: string | undefined): string | undefined {
  if (scheme === 'grpc' || scheme === 'grpcs') return 'gRPC workers are not supported yet'
  if (scheme !== undefined) {
    const meant = nearest(scheme, ['http', 'https'])
    return meant === undefined ? undefined : didYouMean(`${meant}://${text.slice(scheme.length + 3)}`)
  }
  const broken = /^([a-z]{3,7})(?::\/(?!\/)|:?\/\/)(.+)$/i.exec(text)
  const meant = broken?.[1] === undefined ? undefined : nearest(broken[1].toLowerCase(), ['http', 'https'])
  if (meant !== undefined) return didYouMean(`${meant}://${broken?.[2]}`)
  const whole = `http://${text.replace(/^[:/]+/, '')}`
  return 'value' in parseWorkerUrl(whole) ? didYouMean(whole) : undefined
}

function didYouMean(url: string): string | undefined {
  return url.includes('@') ? undefined : `did you mean "${url}"?`
}

function portHint(text: string): string | undefined {
  const port = /:(\d+)(?:\/|$)/.exec(text.replace(/^[^/]*\/\//, ''))?.[1]
  return port !== undefined && Number(port) > 65535 ? 'its port is above 65535' : undefined
}
