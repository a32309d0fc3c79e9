import { type Context, type Handler, Hono } from 'hono'
import { RouterError } from '../middleware/errors.ts'
import { methodNotAllowed } from './faults.ts'
import type { GatewayContext } from './gateway-context.ts'
import type { WorkerControl } from './workers/control.ts'
import type { Worker } from './workers/worker.ts'

export interface AdminOptions {
  readonly control: WorkerControl
  /** Refuses those who may not; undefined lets everyone in. */
  readonly access: Handler<GatewayContext> | undefined
}

type C = Context<GatewayContext>

const routes = [
  '/add_worker',
  '/remove_worker',
  '/list_workers',
  '/get_loads',
  '/flush_cache',
  '/workers',
  '/workers/:id',
] as const

/** Membership and state of the workers, in the words of the Rust router and as REST. */
export function adminRoutes({ control, access }: AdminOptions): Hono<GatewayContext> {
  const app = new Hono<GatewayContext>()
  if (access !== undefined) for (const route of routes) app.use(route, access)

  app.post('/add_worker', async (c) => {
    const worker = await control.addAndAwait(urlParameter(c), c.env.incoming.signal)
    return c.text(`Successfully added worker: ${worker.url}`)
  })
  app.post('/remove_worker', (c) => {
    const worker = known(control, urlParameter(c))
    control.registry.remove(worker)
    return c.text(`Successfully removed worker: ${worker.url}`)
  })
  app.get('/list_workers', (c) => c.json({ urls: control.registry.pool.workers.map(({ url }) => url) }))
  app.get('/get_loads', (c) =>
    c.json({
      workers: control.registry.pool.workers.map(({ url, inFlight }) => ({ worker: url, load: inFlight })),
    }),
  )
  app.post('/flush_cache', async (c) => {
    const results = await control.flushCaches()
    return c.json({ workers: results }, results.every(({ ok }) => ok) ? 200 : 502)
  })

  app.get('/workers', (c) => c.json({ workers: control.registry.pool.workers.map(describe) }))
  app.post('/workers', async (c) => c.json(describe(control.registry.add(await urlOfBody(c))), 201))
  app.get('/workers/:id', (c) => c.json(describe(known(control, c.req.param('id')))))
  app.patch('/workers/:id', async (c) => {
    const worker = known(control, c.req.param('id'))
    control.setDraining(worker, await drainOfBody(c))
    return c.json(describe(worker))
  })
  app.delete('/workers/:id', (c) => {
    control.registry.remove(known(control, c.req.param('id')))
    return c.body(null, 204)
  })

  for (const path of ['/add_worker', '/remove_worker', '/flush_cache'])
    app.all(path, methodNotAllowed('POST'))
  for (const path of ['/list_workers', '/get_loads']) app.all(path, methodNotAllowed('GET'))
  app.all('/workers', methodNotAllowed('GET, POST'))
  app.all('/workers/:id', methodNotAllowed('GET, PATCH, DELETE'))
  return app
}

function describe(worker: Worker): object {
  const { id, url, health, inFlight, draining, lastError, models, load } = worker
  const unavailable = worker.unavailable(undefined)
  return {
    id,
    url,
    available: unavailable === undefined,
    unavailable_reason: unavailable ?? null,
    health: health.name,
    health_reason: health.name === 'unhealthy' ? health.reason : null,
    in_flight: inFlight,
    draining,
    breaker: describeBreaker(worker),
    last_error:
      lastError === undefined ? null : { at: lastError.at.toISOString(), message: lastError.message },
    models: models === undefined ? null : [...models],
    load:
      load === undefined
        ? null
        : {
            at: load.at.toISOString(),
            running: load.running ?? null,
            waiting: load.waiting ?? null,
            kv_cache_usage: load.kvCacheUsage ?? null,
          },
  }
}

function describeBreaker({ breaker, breakerState: state }: Worker): object {
  if (breaker === undefined) return { state: 'disabled', reason: null, until: null }
  if (state.name === 'closed') return { state: 'closed', reason: null, until: null }
  const until = state.name === 'open' ? new Date(Date.now() + breaker.remainingMs).toISOString() : null
  return { state: state.name, reason: state.reason, until }
}

function known(control: WorkerControl, idOrUrl: string): Worker {
  const worker = control.registry.find(idOrUrl)
  if (worker === undefined)
    throw new RouterError('not_found', 'no such worker; GET /workers lists them', { param: 'worker' })
  return worker
}

function urlParameter(c: C): string {
  const url = c.req.query('url')
  if (url === undefined || url === '') {
    throw new RouterError('invalid_request', 'the query parameter `url` is missing: ?url=http://host:8000', {
      param: 'url',
    })
  }
  return url
}

async function urlOfBody(c: C): Promise<string> {
  const { url } = await jsonBody(c)
  if (typeof url === 'string') return url
  throw new RouterError('invalid_request', 'the body must be like {"url": "http://host:8000"}', {
    param: 'url',
  })
}

async function drainOfBody(c: C): Promise<boolean> {
  const { draining } = await jsonBody(c)
  if (typeof draining === 'boolean') return draining
  throw new RouterError('invalid_request', 'the body must be {"draining": true} or {"draining": false}', {
    param: 'draining',
  })
}

/** Bytes; these bodies hold one URL. */
const maxBodyBytes = 64 * 1024

async function jsonBody(c: C): Promise<Record<string, unknown>> {
  const text = new TextDecoder().decode(await c.env.incoming.body(maxBodyBytes))
  try {
    const body: unknown = JSON.parse(text)
    if (typeof body === 'object' && body !== null) return body as Record<string, unknown>
  } catch {
    // Told below, like every other body that is no object.
  }
  throw new RouterError('invalid_json', 'the body must be a JSON object')
}
