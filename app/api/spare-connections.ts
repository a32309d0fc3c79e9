import type { MiddlewareHandler } from 'hono'
import { RouterError } from '../../http/errors.ts'
import type { GatewayContext } from '../request/context.ts'
import type { Listener } from '../runtime/runtime.ts'
import type { HttpClient } from '../upstream/http-client.ts'
import { connectionLimit, noRoom } from '../upstream/open-files.ts'

/**
 * Turns a request away while there is no connection to a worker left for it. Without this the system refuses one
 * connection or another, of a client, to a worker or of a probe, and nobody is told why.
 *
 * @param full whether all connections are in use
 * @throws RouterError `no_available_worker`
 */
export function spareConnections(full: () => boolean): MiddlewareHandler<GatewayContext> {
  return function spareConnections(_, next) {
    if (!full()) return next()
    throw noSpareConnection()
  }
}

export function noSpareConnection(): RouterError {
  return new RouterError('no_available_worker', noRoom, { retryAfter: 1, close: true })
}

/** Says whether as many connections are in use, to clients and to workers, as the process may have. */
export function connectionsFull(client: HttpClient, listeners: readonly Listener[]): () => boolean {
  const limit = connectionLimit()
  return () => {
    let open = client.connections
    for (const { connections } of listeners) open += connections
    // Those that wait for a request are looked at only now: they are as good as free.
    return open >= limit && open - client.idleConnections >= limit
  }
}
