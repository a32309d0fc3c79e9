import type { MiddlewareHandler } from 'hono'
import { RouterError } from '../../http/errors.ts'
import { headerOf } from '../../http/incoming.ts'
import type { TrustedProxies } from '../../http/trusted-proxies.ts'
import type { Lifecycle } from '../operations/lifecycle.ts'
import type { GatewayContext } from '../request/context.ts'
import { errorResponse } from '../request/render-error.ts'
import type { RequestRecord } from '../request/request-record.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Accounting } from '../telemetry/accounting.ts'
import type { Log } from '../telemetry/log.ts'
import type { Explain } from './decision.ts'
import { knownRoutes } from './known-routes.ts'

export interface AccountOptions {
  readonly accounting: Accounting
  readonly lifecycle: Lifecycle
  readonly clock: Clock
  readonly log: Log
  /** Longest time a request may take in all, in milliseconds; undefined: no limit. */
  readonly longestMs: number | undefined
  readonly proxies: TrustedProxies
  /** Undefined where nobody may know the way of a request. */
  readonly explain: Explain | undefined
}

/**
 * Opens the record of each request, and closes it at the end of the middleware, unless its answer is still streaming. A
 * client that leaves and a deadline that passes stop the request from here.
 */
export function account({
  accounting,
  lifecycle,
  clock,
  log,
  longestMs,
  proxies,
  explain,
}: AccountOptions): MiddlewareHandler<GatewayContext> {
  /** The client's own limit or the router's, whichever is shorter; the time in the queue is part of it. */
  function setDeadline(record: RequestRecord, wanted: string | undefined): void {
    // Anything but a number is no limit: the header is a wish, and not worth an error.
    const clientMs =
      wanted !== undefined && /^\d{1,12}$/.test(wanted) ? Math.max(1, Number(wanted)) : undefined
    if (clientMs === undefined && longestMs === undefined) return
    const ms = Math.min(clientMs ?? Number.POSITIVE_INFINITY, longestMs ?? Number.POSITIVE_INFINITY)
    record.deadline = record.startedAt + ms
    record.onEnd(clock.after(ms, () => record.stop.because('request_timeout')))
  }

  return async function account(c, next) {
    const { incoming } = c.env
    const path = c.req.path
    const record = accounting.open(c.req.method, path, incoming.headers)
    record.requestId = c.get('requestId')
    record.client = proxies.clientOf(incoming)
    if (knownRoutes.has(path)) record.route = path
    c.set('record', record)
    c.set('onEnd', (listener) => record.onEnd(listener))
    c.set('stopSignal', () => record.stop.signal)
    if (explain !== undefined) record.explain = explain(incoming.headers)
    setDeadline(record, headerOf(incoming.headers, 'x-request-timeout-ms'))
    incoming.onGone(() => record.stop.because('client_closed'))
    try {
      if (lifecycle.refusing) throw shuttingDown()
      await next()
    } catch (error) {
      // Hono's error handler sees only Error objects thrown within its chain; anything else is rendered here.
      c.res = errorResponse(error, path, record, log)
    }
    // A middleware threw after the stream was handed over: nobody will read it, so its worker is freed.
    if (record.live && record.errorCode !== undefined) {
      record.live = false
      record.end(record.errorCode)
      record.stop.because('client_closed')
    }
    record.requestBytes = c.get('body')?.byteLength
    record.status = record.errorCode === 'client_closed' ? 499 : c.res.status
    if (!record.live) record.end(record.errorCode ?? 'completed')
  }
}

/** The answer to a request that comes too late. */
export function shuttingDown(): RouterError {
  return new RouterError('draining', 'the router is shutting down', { retryAfter: 1 })
}
