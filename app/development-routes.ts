import type { MiddlewareHandler } from 'hono'
import { apiKey } from '../middleware/api-key.ts'
import { RouterError } from '../middleware/errors.ts'
import { type GatewayContext, widen } from './gateway-context.ts'

/**
 * Routes of vLLM that are for its developers and operators (most need VLLM_SERVER_DEV_MODE=1 there): they stop, empty,
 * profile or change the worker, which no client of an inference API should be able to do.
 */
const routes = new Set([
  '/sleep',
  '/wake_up',
  '/is_sleeping',
  '/collective_rpc',
  '/reset_prefix_cache',
  '/reset_mm_cache',
  '/reset_encoder_cache',
  '/pause',
  '/resume',
  '/is_paused',
  '/abort_requests',
  '/server_info',
  '/start_profile',
  '/stop_profile',
  '/scale_elastic_ep',
  '/is_scaling_elastic_ep',
  '/init_weight_transfer_engine',
  '/start_weight_update',
  '/update_weights',
  '/finish_weight_update',
  '/get_world_size',
  '/v1/load_lora_adapter',
  '/v1/unload_lora_adapter',
])

/** Whatever the spelling: the worker decodes the path before it looks it up. */
export function isDevelopmentRoute(path: string): boolean {
  let plain = decoded(path)
  // Looked for first: the two replacements cost as much as the rest of this.
  if (plain.includes('//')) plain = plain.replace(/\/{2,}/g, '/')
  if (plain.endsWith('/')) plain = plain.replace(/(?<=.)\/$/, '')
  return routes.has(plain.toLowerCase())
}

/** The path with its percent-escapes resolved, as the worker sees it; as it is where they are faulty. */
export function decoded(path: string): string {
  if (!path.includes('%')) return path
  try {
    return decodeURIComponent(path)
  } catch {
    return path
  }
}

/** Stays here, see requestHeaders. */
const keyField = 'x-admin-api-key'

/** Routes by which a client could put a worker to sleep or change its weights need the admin's key. */
export function guardDevelopmentRoutes(adminApiKey: string | undefined): MiddlewareHandler<GatewayContext> {
  const check =
    adminApiKey === undefined
      ? undefined
      : widen(apiKey({ keys: [adminApiKey], header: keyField, what: 'admin key' }))
  return (c, next) => {
    if (!isDevelopmentRoute(c.req.path)) return next()
    if (check !== undefined) {
      // With the admin's key in a field of its own, `Authorization` is the worker's.
      if (c.env.incoming.header(keyField) === undefined) c.set('keyConsumed', true)
      return check(c, next)
    }
    throw new RouterError(
      'forbidden',
      'this route changes the worker: it needs the admin key, and none is set (--admin-api-key)',
    )
  }
}
