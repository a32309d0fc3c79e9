import { Hono } from 'hono'
import { TrustedProxies } from '../../http/trusted-proxies.ts'
import { apiKey } from '../../middleware/api-key.ts'
import { webGuard } from '../../middleware/web-guard.ts'
import type { Config } from '../config/settings.ts'
import { type GatewayContext, widen } from '../request/context.ts'
import { errorResponse, methodNotAllowed } from '../request/render-error.ts'
import type { Exposition } from '../telemetry/exposition.ts'
import type { Log } from '../telemetry/log.ts'
import { adminRoutes } from './admin.ts'
import { admit, audit } from './audit.ts'
import { openApiDocument } from './description/openapi.ts'
import { type PageOptions, pageRoutes } from './page-routes.ts'
import type { RouterControl } from './router-control.ts'

export interface ProbesOptions {
  /** Whether addresses of workers may be shown: whoever asks the API is no operator. */
  readonly addresses: boolean
}

/** `/health`, `/liveness`, `/readiness`: on both listeners. */
export function probes(control: RouterControl, { addresses }: ProbesOptions): Hono<GatewayContext> {
  const app = new Hono<GatewayContext>()

  app.get('/liveness', (c) => c.text('OK'))

  app.get('/readiness', async (c) => {
    const { draining, total, available, workers } = await control.vitals()
    const reason = draining ? 'draining' : available === 0 ? 'no available worker' : undefined
    const body = {
      status: reason === undefined ? 'ready' : 'not ready',
      reason,
      workers: { total, available },
      // As the Rust router names them.
      healthy_workers: workers.filter(({ health }) => health === 'healthy').length,
      total_workers: total,
    }
    return c.json(body, reason === undefined ? 200 : 503)
  })

  app.get('/health', async (c) => {
    const { workers } = await control.vitals()
    const unhealthy = workers
      .filter(({ health }) => health !== 'healthy')
      .map(({ id, url }) => (addresses ? url : id))
    const status = unhealthy.length === 0 ? 200 : 503
    if (c.req.header('accept')?.includes('application/json')) {
      const shown = workers.map(({ id, url, health }) => ({ id, ...(addresses && { url }), health }))
      return c.json({ status: status === 200 ? 'healthy' : 'unhealthy', workers: shown }, status)
    }
    return c.text(
      status === 200 ? 'All servers healthy' : `Unhealthy servers: [${unhealthy.join(', ')}]`,
      status,
    )
  })

  for (const path of ['/health', '/liveness', '/readiness']) app.all(path, methodNotAllowed('GET'))
  return app
}

export interface OperationsOptions extends Pick<PageOptions, 'page' | 'feed' | 'api'> {
  readonly config: Config
  readonly control: RouterControl
  /** What Prometheus gets; `accept` is its header of that name. */
  readonly exposition: (accept?: string) => Promise<Exposition>
  readonly log: Log
}

/** The sub-app of the operations listener: metrics, probes, admin, the page. */
export function createOperations(options: OperationsOptions): Hono<GatewayContext> {
  const { config, control, log } = options
  const app = new Hono<GatewayContext>()
  app.route('/', probes(control, { addresses: true }))
  app.get('/metrics', async (c) => {
    const { text, contentType } = await options.exposition(c.req.header('accept'))
    return c.body(text, 200, { 'content-type': contentType })
  })
  let description: string | undefined
  app.get('/openapi.json', (c) => {
    description ??= JSON.stringify(openApiDocument())
    return c.body(description, 200, { 'content-type': 'application/json' })
  })
  for (const path of ['/metrics', '/openapi.json']) app.all(path, methodNotAllowed('GET'))
  const { adminApiKey, adminHosts, maxPayloadSize } = config
  const keyed = adminApiKey !== undefined
  const proxies = new TrustedProxies(config.trustedProxies, config.trustedProxiesHeader)
  const access = [
    audit({ log, listener: 'operations', proxies }),
    widen(webGuard({ hosts: adminHosts, keyed })),
  ]
  if (keyed) access.push(widen(apiKey({ keys: [adminApiKey], what: 'admin key' })))
  access.push(admit(keyed))
  app.route('/', adminRoutes({ control, access, maxPayloadSize }))
  const { page, feed, api } = options
  app.route('/', pageRoutes({ page, feed, api, access }))
  app.notFound((c) =>
    c.json(
      {
        error: {
          message: `no route ${c.req.path} here`,
          type: 'invalid_request_error',
          param: null,
          code: 'not_found',
        },
      },
      404,
    ),
  )
  app.onError((error, c) => errorResponse(error, c.req.path, undefined, log))
  return app
}
