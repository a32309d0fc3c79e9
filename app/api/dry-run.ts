import { asRouterError } from '../../http/errors.ts'
import type { JsonObject } from '../../http/json/json.ts'
import { lookIntoJson } from '../../http/json/look-into-json.ts'
import { readJson } from '../../http/json/parse-json.ts'
import { type Standing, standingOf } from '../../http/priority.ts'
import { RequestBody } from '../../http/request-body.ts'
import type { Tenant } from '../../http/tenant.ts'
import { type BodySchema, bodySchemas } from '../../middleware/schemas/index.ts'
import { checkPayload } from '../../middleware/validate.ts'
import { asksForKeys } from '../config/key-entries.ts'
import type { Config } from '../config/settings.ts'
import { isAdminRoute } from '../operations/admin.ts'
import type { Lifecycle } from '../operations/lifecycle.ts'
import {
  type DryRun,
  type DryRunRequest,
  type LimitsView,
  type Refusal,
  refusalOf,
} from '../request/dry-run.ts'
import { shuttingDown } from './account.ts'
import { type AskedRequest, askedAmounts } from './asked-tokens.ts'
import { developmentFault, developmentKind } from './development-routes.ts'
import { type DryRoute, type DryRouteOptions, dryRoute } from './dry-route.ts'
import { pathAndQuery } from './sent-path.ts'
import { noSpareConnection } from './spare-connections.ts'
import { type TenantLimitsOptions, tenantRateLimited } from './tenant-limits.ts'
import { workerPageFault } from './worker-pages.ts'

export interface DryRunOptions extends DryRouteOptions {
  readonly lifecycle: Lifecycle
  /** Whether all connections that the process may have are in use. */
  readonly full: () => boolean
  /** What the limits would do with a request of that standing. */
  readonly limits: (standing: Standing) => LimitsView
  readonly tenants: Pick<TenantLimitsOptions, 'limiter' | 'estimates'> & {
    named(name: string): Tenant | undefined
  }
}

/** What is said of a request about which nothing is known. */
const nothing: Omit<DryRoute, 'fault' | 'waits'> = {
  model: { asked: null, resolved: null, listed: false, fallbacks: [] },
  stream: false,
  session: null,
  prefix_blocks: null,
  candidates: [],
  passed_over: [],
  choice: null,
  notes: [],
}

const ownRoutes: ReadonlySet<string> = new Set([
  ...['/health', '/liveness', '/readiness', '/v1/models', '/finish_session'],
])

/**
 * Says what would become of a POST, by the steps that it would go through in the API and the relay: nothing is sent,
 * claimed, counted or learnt. The client's key is not looked at, and middleware of the user's own is not called.
 */
export function createDryRun(options: DryRunOptions): (request: DryRunRequest) => Promise<DryRun> {
  const { config, full } = options

  return async function dryRun(request) {
    const path = pathAndQuery(`http://router${request.path}`)
    const route = path.split('?', 1)[0] ?? ''
    const tenant = request.tenant === undefined ? undefined : options.tenants.named(request.tenant)
    const limits = request.limits ?? options.limits(standingOf(tenant, request.headers))
    const known = { ...nothing, path, limits, policy: config.policy, refused: null }
    if (ownRoutes.has(route) || isAdminRoute(route)) return { ...known, outcome: 'answered' }
    const body = new RequestBody([request.body])
    let payload: JsonObject | undefined
    try {
      payload = await checkedPayload(route, body, options)
    } catch (error) {
      return { ...known, outcome: 'refused', refused: refusalOf(faultIn(error)) }
    }
    const ofTenant = limitsOf(tenant, { path: route, payload, body }, options)
    const refused = ofTenant ?? limits.refused ?? (full() ? refusalOf(noSpareConnection()) : null)
    try {
      const { fault, waits, ...found } = dryRoute({ ...request, path, route, body, payload }, options)
      const last = refused ?? (fault === undefined ? null : refusalOf(fault))
      const notes = [...found.notes, ...notesOn(config)]
      if (request.tenant !== tenant?.name)
        notes.push(`There is no tenant ${JSON.stringify(request.tenant)} that has limits.`)
      const goesOn = waits || limits.outcome === 'waits' ? 'waits' : 'sent'
      return { ...known, ...found, notes, refused: last, outcome: last === null ? goesOn : 'refused' }
    } catch (error) {
      return { ...known, outcome: 'refused', refused: refused ?? refusalOf(faultIn(error)) }
    }
  }
}

/** What the limits of that tenant would say. */
function limitsOf(
  tenant: Tenant | undefined,
  request: AskedRequest,
  { tenants: { limiter, estimates } }: DryRunOptions,
): Refusal | null {
  if (tenant === undefined) return null
  const refusal = limiter.outlook(tenant, askedAmounts(request, estimates))
  return refusal === undefined ? null : refusalOf(tenantRateLimited(refusal))
}

function faultIn(error: unknown) {
  const fault = asRouterError(error)
  if (fault === undefined) throw error
  return fault
}

function notesOn(config: Config): string[] {
  const { middleware } = config
  const notes = []
  if (asksForKeys(config)) notes.push('The key of the client is not looked at.')
  if (middleware.length > 0) notes.push('The middleware of the configuration is not asked.')
  return notes
}

/** @throws RouterError for what never gets as far as the limits */
async function checkedPayload(
  route: string,
  body: RequestBody,
  { lifecycle, config }: DryRunOptions,
): Promise<JsonObject | undefined> {
  if (lifecycle.refusing) throw shuttingDown()
  const kind = developmentKind(route)
  if (kind !== undefined && config.adminApiKey === undefined) throw developmentFault(kind)
  const page = config.relayWorkerPages ? undefined : workerPageFault(route)
  if (page !== undefined) throw page
  const schemas: Readonly<Record<string, BodySchema>> = bodySchemas
  const schema = Object.hasOwn(schemas, route) ? schemas[route] : undefined
  if (schema === undefined) return lookIntoJson(body, false)
  const { value, skimmed } = await readJson(body, false)
  if (skimmed === undefined) checkPayload(value, schema)
  return value as JsonObject
}
