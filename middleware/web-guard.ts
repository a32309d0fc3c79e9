import { isIP } from 'node:net'
import type { Context, MiddlewareHandler } from 'hono'
import { RouterError } from '../http/errors.ts'
import { headerOf, type Incoming } from '../http/incoming.ts'
import type { GatewayEnv } from './gateway-env.ts'

export interface WebGuardOptions {
  /** Host names, lower case, by which these routes may be called besides IP addresses and `localhost`. */
  readonly hosts: readonly string[]
  /** A key is asked for as well: what comes through a proxy, or reads only, is then left to that. */
  readonly keyed: boolean
}

const harmless: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS'])

/**
 * Keeps away what an operator's own browser sends on behalf of a stranger's page, and what a proxy on the same host lets
 * in from outside. Being bound to loopback protects from neither.
 *
 * - A page elsewhere can send a POST with a body of type text/plain or of a form, without asking first. It cannot hide its
 *   `Origin`, nor send `application/json` unasked.
 * - A page whose name is made to point at 127.0.0.1 (DNS rebinding) counts as our own origin, but cannot hide that name,
 *   which is in `Host`.
 *
 * @throws RouterError `forbidden`; `unsupported_media_type`.
 */
export function webGuard({ hosts, keyed }: WebGuardOptions): MiddlewareHandler<GatewayEnv> {
  const own = new Set(['localhost', ...hosts])

  return function webGuard(c, next) {
    const { headers } = c.env.incoming
    const reads = harmless.has(c.req.method)
    // With a key, names may read: Prometheus and people use them, and a page does not have the key.
    if (!(reads && keyed)) checkHost(hostOf(c, headers), own)
    if (reads) return next()
    checkOrigin(headers, hostOf(c, headers))
    if (!keyed) checkDirect(headers)
    checkMediaType(headers)
    return next()
  }
}

/** As the client wrote it; a `Request` that never was on the wire has only its URL. */
function hostOf(c: Context<GatewayEnv>, headers: Incoming['headers']): string {
  return headerOf(headers, 'host') ?? new URL(c.req.url).host
}

function checkHost(host: string, own: ReadonlySet<string>): void {
  const name = host
    .replace(/:\d*$/, '')
    .replace(/^\[(.*)\]$/, '$1')
    .toLowerCase()
  if (isIP(name) !== 0 || own.has(name)) return
  throw new RouterError(
    'forbidden',
    `admin routes are not open under the name ${JSON.stringify(name.slice(0, 100))}: call them by IP address or as localhost, or allow the name with --admin-hosts`,
  )
}

function checkOrigin(headers: Incoming['headers'], host: string): void {
  const origin = headerOf(headers, 'origin')?.toLowerCase()
  const site = headerOf(headers, 'sec-fetch-site')
  const here = host.toLowerCase()
  const foreign = origin !== undefined && origin !== `http://${here}` && origin !== `https://${here}`
  // Another port of this machine is another origin of the same site.
  if (!foreign && (site === undefined || site === 'same-origin' || site === 'none')) return
  throw new RouterError('forbidden', 'admin routes take no requests from web pages of another origin')
}

const forwarding = /^(?:forwarded|via|x-real-ip|x-forwarded-.*)$/i

function checkDirect(headers: Incoming['headers']): void {
  const field = headers.find(([name]) => forwarding.test(name))
  if (field === undefined) return
  throw new RouterError(
    'forbidden',
    `this request came through a proxy (it has the header ${field[0].toLowerCase()}): set --admin-api-key and send that key to allow it`,
  )
}

function checkMediaType(headers: Incoming['headers']): void {
  const type = headerOf(headers, 'content-type')
  const length = headerOf(headers, 'content-length')
  const bodiless =
    (length === undefined || length === '0') && headerOf(headers, 'transfer-encoding') === undefined
  if (type === undefined && bodiless) return
  if (type?.split(';', 1)[0]?.trim().toLowerCase() === 'application/json') return
  throw new RouterError(
    'unsupported_media_type',
    'Changes are taken as JSON only: send the header "Content-Type: application/json" (curl sends another one unless told).',
  )
}
