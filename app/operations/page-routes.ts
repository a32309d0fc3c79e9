import { type Context, type Handler, Hono } from 'hono'
import { RouterError } from '../../http/errors.ts'
import type { GatewayContext } from '../request/context.ts'
import { methodNotAllowed } from '../request/render-error.ts'
import type { FetchHandler } from '../runtime/runtime.ts'
import type { FleetFeed } from './fleet-feed.ts'
import type { PageFile, PageFiles } from './page-files.ts'
import { playground } from './playground.ts'

export interface PageOptions {
  readonly page: PageFiles
  readonly feed: FleetFeed
  /** Answers requests to the API. */
  readonly api: FetchHandler
  /** Refuse those who may not, in this order. */
  readonly access: readonly Handler<GatewayContext>[]
}

/**
 * Nothing from elsewhere, nothing that is written into the document, and nobody may frame it: the page can hold the
 * admin's key.
 */
const pageHeaders = {
  'content-security-policy':
    "default-src 'none'; connect-src 'self'; style-src 'self'; script-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  // Asked again each time, and answered with 304: another version of the router is another page.
  'cache-control': 'no-cache',
  vary: 'accept-encoding',
}

/** The page, open to everyone since it holds nothing, and what it shows and does, open to operators. */
export function pageRoutes({ page, feed, api, access }: PageOptions): Hono<GatewayContext> {
  const app = new Hono<GatewayContext>()
  const sendFile = (c: Context<GatewayContext>) => {
    const file = page.get(c.req.path)
    return file === undefined ? c.notFound() : send(c, file)
  }
  app.get('/', sendFile)
  app.get('/page/:file', sendFile)
  for (const route of ['/events', '/playground']) for (const check of access) app.use(route, check)
  app.get('/events', (c) => {
    const source = feed.watch()
    if (source === undefined) {
      const message = 'too many pages are open, or the router is about to end'
      throw new RouterError('rate_limited', message, { retryAfter: 5 })
    }
    c.env.incoming.onGone(() => source.cancel())
    const headers = { 'content-type': 'text/event-stream', 'cache-control': 'no-store' }
    return new Response(c.env.incoming.openStream(source), { headers })
  })
  app.post('/playground', playground(api))
  for (const path of ['/', '/page/:file']) app.all(path, methodNotAllowed('GET'))
  app.all('/events', methodNotAllowed('GET'))
  app.all('/playground', methodNotAllowed('POST'))
  return app
}

function send(c: Context<GatewayContext>, file: PageFile): Response {
  const { type, etag } = file
  const headers = { ...pageHeaders, etag }
  // Weak comparison, as RFC 9110 13.1.2 has it: a proxy that compresses marks the tag.
  const known = c.req.header('if-none-match')?.split(',') ?? []
  if (known.some((tag) => tag.trim().replace(/^W\//, '') === etag)) return c.body(null, 304, headers)
  const zipped = /\bgzip\b(?!\s*;\s*q=0(\.0*)?(\s|,|$))/.test(c.req.header('accept-encoding') ?? '')
  const body = zipped ? file.gzip : file.bytes
  return c.body(Uint8Array.from(body), 200, {
    ...headers,
    'content-type': type,
    ...(zipped && { 'content-encoding': 'gzip' }),
  })
}
