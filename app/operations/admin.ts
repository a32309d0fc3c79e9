import { type Context, type Handler, Hono } from 'hono'
import { RouterError } from '../../http/errors.ts'
import type { GatewayContext } from '../request/context.ts'
import { methodNotAllowed } from '../request/render-error.ts'
import type { RequestFilter } from '../request/request-view.ts'
import { dryRunRequest } from './dry-run-request.ts'
import type { RouterControl } from './router-control.ts'

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

  app.post('/add_worker', async (c) => {
    const { url } = await control.addAndAwait(urlParameter(c), c.env.incoming.signal)
    return c.text(`Successfully added worker: ${url}`)
  })
  app.post('/remove_worker', async (c) =>
    c.text(`Successfully removed worker: ${await control.remove(urlParameter(c))}`),
  )
  app.get('/list_workers', async (c) => c.json({ urls: (await control.workers()).map(({ url }) => url) }))
  app.get('/get_loads', async (c) =>
    c.json({ workers: (await control.workers()).map(({ url, in_flight: load }) => ({ worker: url, load })) }),
  )
  app.post('/flush_cache', async (c) => {
    const results = await control.flushCaches()
    return c.json({ workers: results }, results.every(({ ok }) => ok) ? 200 : 502)
  })

  app.get('/workers', async (c) => c.json({ workers: await control.workers() }))
  app.post('/workers', async (c) => c.json(await control.add(await urlOfBody(c)), 201))
  app.get('/workers/:id', async (c) => c.json(await control.worker(c.req.param('id'))))
  app.patch('/workers/:id', async (c) =>
    c.json(await control.setDraining(c.req.param('id'), await drainOfBody(c))),
  )
  app.delete('/workers/:id', async (c) => {
    await control.remove(c.req.param('id'))
    return c.body(null, 204)
  })

  app.get('/debug/requests', async (c) => c.json({ requests: await control.requests(filterOf(c)) }))
  app.post('/debug/route', async (c) => c.json(await control.dryRun(await dryRunRequest(c, maxPayloadSize))))
  app.get('/config', async (c) => c.json(await control.settings()))
  app.post('/reload', async (c) => {
    const result = await control.reload()
    return c.json(result, result.ok ? 200 : 409)
  })

  for (const path of ['/reload', '/debug/route', '/add_worker', '/remove_worker', '/flush_cache'])
    app.all(path, methodNotAllowed('POST'))
  for (const path of ['/list_workers', '/get_loads', '/config', '/debug/requests'])
    app.all(path, methodNotAllowed('GET'))
  app.all('/workers', methodNotAllowed('GET, POST'))
  app.all('/workers/:id', methodNotAllowed('GET, PATCH, DELETE'))
  return app
}

const filters = ['worker', 'model', 'status', 'slower_than_ms', 'ended_within_ms', 'failed', 'limit'] as const

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
