import { type Context, type Handler, Hono } from 'hono'
import { RouterError } from '../../http/errors.ts'
import type { GatewayContext } from '../request/context.ts'
import { methodNotAllowed } from '../request/render-error.ts'
import type { RequestFilter } from '../request/request-view.ts'
import type { WorkerState } from '../workers/worker-state.ts'
import { reloadChange } from './audit.ts'
import { dryRunRequest } from './dry-run-request.ts'
import type { RouterControl } from './router-control.ts'
import { usageAnswer } from './usage-answer.ts'

export interface AdminOptions {
  readonly control: RouterControl
  /** Refuse those who may not, in this order. */
  readonly access: readonly Handler<GatewayContext>[]
  /** Bytes that the body of a request may have that is asked about. */
  readonly maxPayloadSize: number
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
  '/debug/requests',
  '/debug/route',
  '/limits',
  '/usage',
  '/config',
  '/reload',
] as const

const ownRoutes = new Set<string>(routes)

/** One of these routes, at whichever worker. */
export function isAdminRoute(path: string): boolean {
  return ownRoutes.has(path) || /^\/workers\/[^/]+$/.test(path)
}

/** Membership and state of the workers, in the words of the Rust router and as REST. */
export function adminRoutes({ control, access, maxPayloadSize }: AdminOptions): Hono<GatewayContext> {
  const app = new Hono<GatewayContext>()
  for (const route of routes) for (const check of access) app.use(route, check)

  async function remove(c: C, idOrUrl: string): Promise<string> {
    const before = brief(await control.worker(idOrUrl))
    const url = await control.remove(idOrUrl)
    c.set('change', { action: 'remove worker', worker: url, before, after: null })
    return url
  }

  app.post('/add_worker', async (c) => {
    const added = await control.addAndAwait(urlParameter(c), c.env.incoming.signal)
    const { url } = added
    c.set('change', { action: 'add worker', worker: url, before: null, after: brief(added) })
    return c.text(`Successfully added worker: ${url}`)
  })
  app.post('/remove_worker', async (c) =>
    c.text(`Successfully removed worker: ${await remove(c, urlParameter(c))}`),
  )
  app.get('/list_workers', async (c) => c.json({ urls: (await control.workers()).map(({ url }) => url) }))
  app.get('/get_loads', async (c) =>
    c.json({ workers: (await control.workers()).map(({ url, in_flight: load }) => ({ worker: url, load })) }),
  )
  app.post('/flush_cache', async (c) => {
    const results = await control.flushCaches()
    c.set('change', { action: 'flush caches', after: results })
    return c.json({ workers: results }, results.every(({ ok }) => ok) ? 200 : 502)
  })

  app.get('/workers', async (c) => c.json({ workers: await control.workers() }))
  app.post('/workers', async (c) => {
    const added = await control.add(await urlOfBody(c))
    c.set('change', { action: 'add worker', worker: added.url, before: null, after: brief(added) })
    return c.json(added, 201)
  })
  app.get('/workers/:id', async (c) => c.json(await control.worker(c.req.param('id'))))
  app.patch('/workers/:id', async (c) => {
    const draining = await drainOfBody(c)
    const before = brief(await control.worker(c.req.param('id')))
    const after = await control.setDraining(c.req.param('id'), draining)
    const action = draining ? 'drain worker' : 'undrain worker'
    c.set('change', { action, worker: after.url, before, after: brief(after) })
    return c.json(after)
  })
  app.delete('/workers/:id', async (c) => {
    await remove(c, c.req.param('id'))
    return c.body(null, 204)
  })

  app.get('/debug/requests', async (c) => c.json({ requests: await control.requests(filterOf(c)) }))
  app.post('/debug/route', async (c) => c.json(await control.dryRun(await dryRunRequest(c, maxPayloadSize))))
  app.get('/limits', async (c) => c.json(await control.tenantLimits()))
  app.get('/usage', (c) => usageAnswer(c, control))
  app.get('/config', async (c) => c.json(await control.settings()))
  app.post('/reload', async (c) => {
    const result = await control.reload()
    c.set('change', { action: 'reload', ...reloadChange(result) })
    return c.json(result, result.ok ? 200 : 409)
  })

  for (const path of ['/reload', '/debug/route', '/add_worker', '/remove_worker', '/flush_cache'])
    app.all(path, methodNotAllowed('POST'))
  for (const path of ['/list_workers', '/get_loads', '/limits', '/usage', '/config', '/debug/requests'])
    app.all(path, methodNotAllowed('GET'))
  app.all('/workers', methodNotAllowed('GET, POST'))
  app.all('/workers/:id', methodNotAllowed('GET, PATCH, DELETE'))
  return app
}

/** Of a worker, for the audit. */
function brief({ id, health, draining, in_flight }: WorkerState) {
  return { id, health, draining, in_flight }
}

const filters = [
  ...(['worker', 'model', 'tenant', 'status'] as const),
  ...(['slower_than_ms', 'ended_within_ms', 'failed', 'limit'] as const),
]

function filterOf(c: C): RequestFilter {
  const query = c.req.query()
  for (const name of Object.keys(query)) {
    if ((filters as readonly string[]).includes(name)) continue
    const message = `${JSON.stringify(name)} is no filter; there are: ${filters.join(', ')}`
    throw new RouterError('invalid_request', message, { param: name })
  }
  const number = (name: (typeof filters)[number]): number | undefined => {
    const text = query[name]
    if (text === undefined) return undefined
    if (/^\d{1,9}$/.test(text)) return Number(text)
    throw new RouterError('invalid_request', `\`${name}\` must be a whole number`, { param: name })
  }
  return {
    worker: query.worker,
    model: query.model,
    tenant: query.tenant,
    status: number('status'),
    slower_than_ms: number('slower_than_ms'),
    ended_within_ms: number('ended_within_ms'),
    failed: query.failed === undefined ? undefined : query.failed !== 'false',
    limit: number('limit'),
  }
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
  const received = await c.env.incoming.body(maxBodyBytes)
  const text = new TextDecoder().decode(received.bytes())
  try {
    const body: unknown = JSON.parse(text)
    if (typeof body === 'object' && body !== null) return body as Record<string, unknown>
  } catch {
    // Told below, like every other body that is no object.
  }
  throw new RouterError('invalid_json', 'the body must be a JSON object')
}
