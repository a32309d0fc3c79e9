import assert from 'node:assert/strict'
import { Hono, type MiddlewareHandler } from 'hono'
import { dialectOf, RouterError, renderError } from '../../http/errors.ts'
import { headerOf, type Incoming, incomingFromRequest } from '../../http/incoming.ts'
import type { GatewayEnv } from '../../middleware/gateway-env.ts'

export interface MiddlewareApp {
  /** Called by tests to end the requests: what the middleware registered with `onEnd`, oldest first. */
  readonly ends: (() => void)[]
  /** Every error that reached the renderer. */
  readonly errors: RouterError[]
  readonly app: Hono<GatewayEnv>
  fetch(path: string, init?: RequestInit, incoming?: Partial<Incoming>): Promise<Response>
}

/** An application of just these middlewares and a handler, with the error renderer of the gateway. */
export function middlewareApp(
  middleware: readonly MiddlewareHandler<GatewayEnv>[],
  handler: MiddlewareHandler<GatewayEnv> = async (c) => c.text('handled'),
): MiddlewareApp {
  const ends: (() => void)[] = []
  const errors: RouterError[] = []
  const app = new Hono<GatewayEnv>()
  app.onError((error, c) => {
    assert.ok(error instanceof RouterError, `unexpected error: ${error.stack}`)
    errors.push(error)
    return renderError(error, dialectOf(c.req.path))
  })
  app.use((c, next) => {
    c.set('onEnd', (fn) => ends.push(fn))
    c.set('stopSignal', () => c.env.incoming.signal)
    return next()
  })
  for (const each of middleware) app.use(each)
  app.all('*', handler)
  return {
    app,
    ends,
    errors,
    async fetch(path, init, incoming) {
      const request = new Request(`http://gateway.test${path}`, init)
      return app.fetch(request, { incoming: override(incomingFromRequest(request), incoming) })
    },
  }
}

function override(base: Incoming, changes: Partial<Incoming> = {}): Incoming {
  const headers = changes.headers ?? base.headers
  return {
    headers,
    header: (name) => headerOf(headers, name),
    body: changes.body ?? ((limit, bounds) => base.body(limit, bounds)),
    signal: changes.signal ?? base.signal,
    remoteAddress: changes.remoteAddress ?? base.remoteAddress,
    clientCertificate: changes.clientCertificate ?? base.clientCertificate,
  }
}

export interface ErrorAnswer {
  readonly error: { message: string; type: string; param: string | null; code: string }
}

/** Asserts that a response is an error of the router with this status and code, and returns its body. */
export async function errorOf(
  response: Response,
  status: number,
  code: string,
): Promise<ErrorAnswer['error']> {
  const text = await response.text()
  assert.equal(response.status, status, text)
  const { error } = JSON.parse(text) as ErrorAnswer
  assert.equal(error.code, code, text)
  return error
}
