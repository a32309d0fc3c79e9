import type { MiddlewareHandler } from 'hono'
import { RouterError } from '../../http/errors.ts'
import type { GatewayContext } from '../request/context.ts'
import { plainPath } from './development-routes.ts'

/** Of vLLM's own server, about that one server: from a router they would be those of a worker picked at random. */
const pages = ['/metrics', '/docs', '/redoc', '/openapi.json']

/**
 * Says where the pages are that people look for on the API's port, instead of relaying them.
 *
 * @throws RouterError `not_found`
 */
export function refuseWorkerPages(): MiddlewareHandler<GatewayContext> {
  return function refuseWorkerPages(c, next) {
    const fault = workerPageFault(c.req.path)
    if (fault === undefined) return next()
    throw fault
  }
}

/** Undefined for every other path. */
export function workerPageFault(asked: string): RouterError | undefined {
  const path = plainPath(asked)
  if (!pages.some((page) => path === page || path.startsWith(`${page}/`))) return undefined
  return new RouterError(
    'not_found',
    `${path.slice(0, 100)} is not relayed to a worker: the metrics of the router are on its operations listener (--prometheus-port, /metrics); --relay-worker-pages relays it all the same`,
  )
}
