import { Hono } from 'hono'
import { apiKey } from '../middleware/api-key.ts'
import { adminRoutes } from './admin.ts'
import type { Config } from './config/settings.ts'
import { methodNotAllowed, renderFault } from './faults.ts'
import { type GatewayContext, widen } from './gateway-context.ts'
import type { Lifecycle } from './lifecycle.ts'
import { livePage } from './live-page.ts'
import type { Log } from './telemetry/log.ts'
import { exposition, type Metrics } from './telemetry/metrics.ts'
import type { Observer } from './telemetry/observer.ts'
import type { WorkerControl } from './workers/control.ts'
import type { Pool } from './workers/pool.ts'

export interface ProbeOptions {
  readonly pool: Pool
  readonly lifecycle: Lifecycle
}

/** `/health`, `/liveness`, `/readiness`: on both listeners. */
export function probes({ pool, lifecycle }: ProbeOptions): Hono<GatewayContext> {
  const app = new Hono<GatewayContext>()

  app.get('/liveness', (c) => c.text('OK'))

  app.get('/readiness', (c) => {
    const available = pool.availableCount
    const reason = lifecycle.draining ? 'draining' : available === 0 ? 'no available worker' : undefined
    const workers = { total: pool.workers.length, available }
    if (reason === undefined) return c.json({ status: 'ready', workers })
    return c.json({ status: 'not ready', reason, workers }, 503)
  })

  app.get('/health', (c) => {
    const unhealthy = pool.workers.filter(({ health }) => health.name !== 'healthy').map(({ url }) => url)
    const status = unhealthy.length === 0 ? 200 : 503
    if (c.req.header('accept')?.includes('application/json')) {
      const workers = pool.workers.map(({ url, health }) => ({ url, health: health.name }))
      return c.json({ status: status === 200 ? 'healthy' : 'unhealthy', workers }, status)
    }
    return c.text(
      status === 200 ? 'All servers healthy' : `Unhealthy servers: [${unhealthy.join(', ')}]`,
      status,
    )
  })

  for (const path of ['/health', '/liveness', '/readiness']) app.all(path, methodNotAllowed('GET'))
  return app
}

export interface OperationsOptions extends ProbeOptions {
  readonly control: WorkerControl
  readonly config: Config
  readonly metrics: Metrics
  readonly observer: Observer
  readonly log: Log
}

/** Nothing from elsewhere, and nobody may frame it: the page can hold the admin's key. */
const livePageHeaders = {
  'content-security-policy':
    "default-src 'none'; connect-src 'self'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; frame-ancestors 'none'",
}

/** The sub-app of the operations listener: metrics, probes, admin. */
export function createOperations(options: OperationsOptions): Hono<GatewayContext> {
  const { config, metrics, observer, control, pool, log } = options
  const app = new Hono<GatewayContext>()
  app.route('/', probes(options))
  app.get('/', (c) => c.html(livePage, 200, livePageHeaders))
  app.get('/metrics', async (c) => {
    observer.refreshGauges(pool)
    const { text, contentType } = await exposition(metrics)
    return c.body(text, 200, { 'content-type': contentType })
  })
  const { adminApiKey } = config
  const access = adminApiKey === undefined ? undefined : apiKey({ keys: [adminApiKey], what: 'admin key' })
  app.route('/', adminRoutes({ control, access: access && widen(access) }))
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
  app.onError((error, c) => renderFault(error, c.req.path, undefined, log))
  return app
}
