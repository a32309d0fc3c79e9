import type { Incoming } from '../http/incoming.ts'
import type { JsonObject } from '../http/json/json.ts'
import type { RequestBody } from '../http/request-body.ts'
import type { Tenant } from '../http/tenant.ts'

/**
 * What every middleware here may count on: the `Env` of the Hono application.
 *
 * Read variables with `c.get(name)`: `c.var` builds a new object of all variables at every access.
 */
export interface GatewayEnv {
  Bindings: {
    /** The client's request as the runtime's listener gives it. */
    incoming: Incoming
  }
  Variables: {
    /** Set by `requestId`. */
    requestId: string
    /** Set by a handler whose response carries `x-request-id` already. Reading its headers to see would cost more. */
    requestIdSent?: true
    /** Set by `readBody`: the client's own bytes, or by `decodeBody`. Absent on a request without a body. */
    body?: RequestBody
    /** Set by `decodeBody`: `body` is what the client had compressed; its `Content-Encoding` is no longer true. */
    bodyDecoded?: true
    /** Set by `validate`: the body parsed, for routing only. What is sent on are the bytes. */
    payload?: JsonObject
    /** Who the request comes from, once its key has told; undefined where keys do not tell. */
    tenant?: Tenant
    /**
     * Set by the application before any middleware of this room runs. The function given runs exactly once: after
     * the last byte of the response, after an error or an abort, or at once when the request has already ended.
     */
    onEnd: (fn: () => void) => void
    /**
     * Set by the application. The signal aborts when the request must end: the client has left, its time is up, or
     * the router drains; its reason is then a RouterError. Made only when somebody asks.
     */
    stopSignal: () => AbortSignal
  }
}
