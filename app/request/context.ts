import type { MiddlewareHandler } from 'hono'
import type { GatewayEnv } from '../../middleware/gateway-env.ts'
import type { ClientRequest } from '../runtime/runtime.ts'
import type { RequestRecord } from './request-record.ts'

/** What every handler of the program may count on: all that the middleware has, and the program's own. */
export interface GatewayContext {
  Bindings: GatewayEnv['Bindings'] & { readonly incoming: ClientRequest }
  Variables: GatewayEnv['Variables'] & {
    record: RequestRecord
    /** The key that the client sent was one for the router: no worker gets to see it. */
    keyConsumed?: true
    /** The route changes the worker: the request is sent to one only. */
    changesWorker?: true
    /** By what an operator was let in. */
    operator?: string
    /** What an operator has changed with this request. */
    change?: {
      readonly action: string
      readonly worker?: string
      readonly before?: unknown
      readonly after?: unknown
    }
  }
}

/** Hono's types are invariant in the environment; ours has everything that the middleware's has, and more. */
export function widen(handler: MiddlewareHandler<GatewayEnv>): MiddlewareHandler<GatewayContext> {
  return handler as unknown as MiddlewareHandler<GatewayContext>
}
