import type { MiddlewareHandler } from 'hono'
import { RouterError } from '../../http/errors.ts'
import { apiKey } from '../../middleware/api-key.ts'
import { type GatewayContext, widen } from '../request/context.ts'
import { knownRoutes } from './known-routes.ts'

/**
 * Routes of vLLM that are for its developers and operators (most need VLLM_SERVER_DEV_MODE=1 there): they stop, empty,
 * profile or change the worker, which no client of an inference API should be able to do. By their kind, not by a list:
 * each version brings some more. The last part of the path tells: a server with a root path has them under that, too.
 */
const changing = [
  // Weights: update_weights, start_draft_weight_update, init_weight_transfer_engine, weight_checker ...
  /(?:^|_)weights?(?:_|$)/,
  // Caches and memory: reset_prefix_cache, release_kv_cache_memory, resume_memory_occupation, flush_cache ...
  /^(?:reset|release|clear|flush|resume)_(?:\w+_)?(?:cache|memory)(?:_\w+)?$/,
  /^(?:start|stop)_(?:\w+_)?profile$/,
  /^(?:un)?load_lora_adapter$/,
  /^abort_requests?$/,
  /^scale_elastic_ep$/,
  /^(?:sleep|wake_up|pause|resume|collective_rpc)$/,
]

/** Of the same kind, but they only tell: how a worker was started, where others reach it, what state it is in. */
const telling =
  /^(?:(?:get_)?server_info|weight_info|get_world_size|kv_event_sources|is_(?:sleeping|paused|scaling_\w+))$/

/** Where the last part is not a name of the route's own. */
const nested = /\/fault_tolerance\/(apply|status)$/

/** Behind this, all is the name of a model. */
const models = '/v1/models/'

/** What is done on a route that changes the worker must not be done again on another. */
type Kind = 'changing' | 'telling'

/** Undefined for a route that is open to clients. */
export function developmentKind(path: string): Kind | undefined {
  // Nearly every request.
  if (knownRoutes.has(path)) return undefined
  const plain = plainPath(path)
  if (plain.startsWith(models)) return undefined
  const name = plain.slice(plain.lastIndexOf('/') + 1)
  if (telling.test(name)) return 'telling'
  const inside = nested.exec(plain)?.[1]
  if (inside !== undefined) return inside === 'status' ? 'telling' : 'changing'
  return changing.some((kind) => kind.test(name)) ? 'changing' : undefined
}

/** Whatever the spelling: the worker decodes the path before it looks it up. */
export function plainPath(path: string): string {
  let plain = decoded(path)
  // Looked for first: the two replacements cost as much as the rest of this.
  if (plain.includes('//')) plain = plain.replace(/\/{2,}/g, '/')
  // RFC 3986, section 3.3: some servers take what follows for parameters, and not for the name.
  if (plain.includes(';')) plain = plain.replace(/;[^/]*/g, '')
  if (plain.endsWith('/')) plain = plain.replace(/(?<=.)\/$/, '')
  return plain.toLowerCase()
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

const reasons: Readonly<Record<Kind, string>> = {
  changing: 'this route changes the worker',
  telling: "this route shows the worker's own configuration and state, not only to its operators",
}

/** Stays here, see requestHeaders. */
const keyField = 'x-admin-api-key'

/**
 * Routes by which a client could put a worker to sleep, change its weights or look into it need the admin's key.
 *
 * @param audited stands around each request for one of them
 */
export function guardDevelopmentRoutes(
  adminApiKey: string | undefined,
  audited: MiddlewareHandler<GatewayContext>,
): MiddlewareHandler<GatewayContext> {
  const check =
    adminApiKey === undefined
      ? undefined
      : widen(apiKey({ keys: [adminApiKey], headers: [keyField], what: 'admin key' }))
  return (c, next) => {
    const kind = developmentKind(c.req.path)
    if (kind === undefined) return next()
    if (kind === 'changing') c.set('changesWorker', true)
    return audited(c, async () => {
      if (check === undefined) throw developmentFault(kind)
      // With the admin's key in a field of its own, `Authorization` is the worker's.
      if (c.env.incoming.header(keyField) === undefined) c.set('keyConsumed', true)
      return check(c, () => {
        c.set('operator', 'admin key')
        return next()
      }) as Promise<void>
    })
  }
}

/** Where no admin key is set. */
export function developmentFault(kind: Kind): RouterError {
  const message = `${reasons[kind]}: it needs the admin key, and none is set (--admin-api-key)`
  return new RouterError('forbidden', message)
}
