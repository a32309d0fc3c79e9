import type { Context, MiddlewareHandler } from 'hono'
import { modelNotAllowed, RouterError } from '../../http/errors.ts'
import type { Tenant } from '../../http/tenant.ts'
import { firstHeader } from '../relay/headers.ts'
import type { GatewayContext } from '../request/context.ts'
import type { Pool } from '../workers/pool.ts'
import { impliedModel } from './implied-model.ts'
import { knownRoutes } from './known-routes.ts'
import { type Made, type ResponseState, storedResponseIn } from './response-state.ts'
import { sentPath } from './sent-path.ts'
import { isForm, valuesInForm } from './strict-form.ts'

/**
 * Notes whose request it is, and refuses a route that its tenant may not call.
 *
 * @throws RouterError `forbidden`
 */
export function tenantRoutes(): MiddlewareHandler<GatewayContext> {
  return function tenantRoutes(c, next) {
    const tenant = c.get('tenant')
    if (tenant === undefined) return next()
    c.get('record').tenant = tenant.name
    if (tenant.routes === undefined || mayCall(tenant.routes, c.req.url)) return next()
    throw new RouterError('forbidden', `this key may not call ${c.req.method} on this route`)
  }
}

export function mayCall(routes: readonly string[], url: string): boolean {
  const path = sentPath(url)
  if (path === undefined) return false
  return routes.some((route) => (route.endsWith('*') ? path.startsWith(route.slice(0, -1)) : path === route))
}

export interface TenantModelsOptions {
  readonly pool: Pool
  readonly responses: ResponseState
  /** There are tenants: what nobody is known to have made is nobody's. */
  readonly hasTenants: boolean
  /** Asks the other processes who made it, null where none of them knows; undefined: there are no others. */
  readonly madeElsewhere: ((id: string) => Promise<Made | null>) | undefined
}

/**
 * Refuses a model that the tenant may not use, and a stored response that it has not made. What an allowed name stands
 * for is allowed with it: the targets of an alias, and the models that answer in place of another.
 *
 * @throws RouterError `model_not_found`; `not_found`; `invalid_request` where the model cannot be told
 */
export function tenantModels(options: TenantModelsOptions): MiddlewareHandler<GatewayContext> {
  const { pool, responses, hasTenants, madeElsewhere } = options
  return function tenantModels(c, next) {
    const tenant = c.get('tenant')
    if (tenant?.models !== undefined) checkModel(c, tenant.models, pool)
    if (tenant === undefined && !hasTenants) return next()
    const id = responseIdOf(c)
    if (id === undefined) return next()
    const made = responses.madeBy(id)
    // Nearly always this process has made it, or there is no other.
    if (made !== undefined || madeElsewhere === undefined) return checkMaker(made, tenant, next)
    return madeElsewhere(id).then((found) => checkMaker(found, tenant, next))
  }
}

/** The stored response that a worker could take the request to be about; empty where that cannot be told. */
function responseIdOf(c: Context<GatewayContext>): string | undefined {
  const { path } = c.req
  if (path !== '/v1/responses' && knownRoutes.has(path)) return undefined
  if (!/%|responses/i.test(path)) return undefined
  const sent = sentPath(c.req.url)
  if (sent === undefined) return ''
  const payload = c.get('payload')
  const isUnread = payload === undefined && hasBody(c)
  return storedResponseIn(sent, payload, isUnread)
}

function checkMaker(
  made: Made | null | undefined,
  tenant: Tenant | undefined,
  next: () => Promise<void>,
): Promise<void> {
  if (made && made.tenant === (tenant?.name ?? null)) return next()
  throw new RouterError(
    'not_found',
    'This key has made no response with this id, as far as the router remembers.',
  )
}

function checkModel(c: Context<GatewayContext>, allowed: readonly string[], pool: Pool): void {
  const named = modelNamed(c)
  if (named === ambiguous) throw modelWanted(allowed)
  if (named !== undefined) {
    if (allowed.includes(named)) return
    throw modelNotAllowed(named, allowed)
  }
  const implied = impliedModel(pool, c.req.method, c.req.path)
  if (implied !== undefined && allowed.includes(implied)) return
  // Without a body no model is run: a stored response is read, say.
  if (implied !== undefined || hasBody(c)) throw modelWanted(allowed)
}

function hasBody(c: Context<GatewayContext>): boolean {
  return (c.get('body')?.byteLength ?? 0) > 0
}

function modelWanted(allowed: readonly string[]): RouterError {
  const message = `\`model\` is missing, or cannot be told for sure: this key may use ${allowed.slice(0, 10).join(', ')}.`
  return new RouterError('invalid_request', message, { param: 'model' })
}

/** Two readers of the body could find two models in it. */
const ambiguous = Symbol('ambiguous')

/** What the body calls the model, if every reader finds the same; undefined where it names none. */
function modelNamed(c: Context<GatewayContext>): string | undefined | typeof ambiguous {
  if (!hasBody(c)) return undefined
  const payload = c.get('payload')
  const contentType = firstHeader(c.env.incoming.headers, 'content-type')?.trim() ?? ''
  let named: unknown = payload?.model
  if (isForm(contentType)) {
    const values = valuesInForm(c.get('body')!, contentType, 'model')
    // A form that reads like JSON, too, is neither for sure.
    if (payload !== undefined || values === undefined || values.length > 1) return ambiguous
    named = values[0]
  } else if (payload === undefined) return ambiguous
  if (named === undefined || named === null || named === '') return undefined
  return typeof named === 'string' ? named : ambiguous
}
