import type { Context, MiddlewareHandler } from 'hono'
import { certificateNames } from '../../http/client-certificate.ts'
import { asRouterError } from '../../http/errors.ts'
import type { TrustedProxies } from '../../http/trusted-proxies.ts'
import type { GatewayContext } from '../request/context.ts'
import type { Log } from '../telemetry/logger.ts'
import type { ReloadResult } from './router-control.ts'

/** What an operator has changed, for the line of the audit. */
export interface AuditedChange {
  /** For example `drain worker`. */
  readonly action: string
  /** URL of the worker, where it is about one. */
  readonly worker?: string
  readonly before?: unknown
  readonly after?: unknown
}

export interface AuditOptions {
  readonly log: Log
  readonly listener: 'api' | 'operations'
  readonly proxies: TrustedProxies
}

/** Lines on refusals within a second: whoever tries keys in a loop must not fill the log. */
const mostRefusals = 20

/**
 * Writes one line for each change that is made, or tried, behind it, and for each request that is refused: what, by whom,
 * from where, and what was before and after. Handlers say with `c.set('change', ...)` what they have done.
 */
export function audit({ log, listener, proxies }: AuditOptions): MiddlewareHandler<GatewayContext> {
  const refusals = new RefusalCount()

  function tell(c: Context<GatewayContext>, status: number, error: unknown): void {
    const isRefused = status === 401 || status === 403
    const change = c.get('change')
    if (!isRefused && change === undefined && !isChange(c)) return
    const unwritten = isRefused ? refusals.next() : 0
    if (unwritten === undefined) return
    const { incoming } = c.env
    const client = proxies.clientOf(incoming)
    const { clientCertificate: shown } = incoming
    write(log, isRefused ? 'warn' : 'info', {
      action: `${c.req.method} ${c.req.path}`,
      ...change,
      who: c.get('operator') ?? 'nobody known',
      certificate: shown && (shown.commonName ?? certificateNames(shown)[0]),
      client,
      peer: incoming.remoteAddress === client ? undefined : incoming.remoteAddress,
      listener,
      status,
      error: asRouterError(error)?.code,
      refusals_not_written: unwritten === 0 ? undefined : unwritten,
    })
  }

  return async function audit(c, next) {
    try {
      // Within a `sequence`, the answer is what `next` resolves to, and not yet in the context.
      const answer: unknown = await next()
      tell(c, answer instanceof Response ? answer.status : c.res.status, c.error)
      return answer as Response
    } catch (error) {
      tell(c, asRouterError(error)?.status ?? 500, error)
      throw error
    }
  }
}

/** Comes behind all that may refuse a request: whoever gets so far is an operator. */
export function admit(keyed: boolean): MiddlewareHandler<GatewayContext> {
  const operator = keyed ? 'admin key' : 'no key'
  return function admit(c, next) {
    c.set('operator', operator)
    return next()
  }
}

/** The line on a reload that nobody has asked for over HTTP. @param cause a signal, or the file that has changed */
export function auditReload(log: Log, cause: string, result: ReloadResult): void {
  write(log, result.ok ? 'info' : 'warn', { action: 'reload', who: cause, ...reloadChange(result) })
}

export function reloadChange({ changes, problems }: ReloadResult) {
  const side = (name: 'before' | 'after') =>
    Object.fromEntries(changes.map((change) => [change.setting, change[name]]))
  return {
    before: side('before'),
    after: side('after'),
    ...(problems.length > 0 && { problems }),
  }
}

/** Requests that ask only, although not with GET. */
const asking: ReadonlySet<string> = new Set(['/debug/route', '/playground'])
const harmless: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS'])

/** It was to change something, and has failed. */
function isChange(c: Context<GatewayContext>): boolean {
  return !harmless.has(c.req.method) && !asking.has(c.req.path)
}

/** Written whatever level of the log is set, unless there is to be none at all. */
function write(log: Log, level: 'info' | 'warn', fields: object): void {
  if (log.level === 'silent') return
  log.child({}, { level: 'info' })[level](fields, 'audit')
}

class RefusalCount {
  #second = 0
  #written = 0
  #unwritten = 0

  /** How many were not written since the last one that was; undefined: nor is this one. */
  next(): number | undefined {
    const second = Math.floor(performance.now() / 1000)
    if (second !== this.#second) {
      this.#second = second
      this.#written = 0
    }
    if (this.#written >= mostRefusals) {
      this.#unwritten++
      return undefined
    }
    this.#written++
    const unwritten = this.#unwritten
    this.#unwritten = 0
    return unwritten
  }
}
