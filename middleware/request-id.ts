import type { Context, MiddlewareHandler } from 'hono'
import { headerOf } from '../http/incoming.ts'
import type { GatewayEnv } from './gateway-env.ts'

export interface RequestIdOptions {
  /**
   * Request headers looked into, first to last.
   * Default: `x-request-id`, `x-correlation-id`, `x-trace-id`, `request-id`.
   */
  readonly headers?: readonly string[]
  /** Makes an id for a request that brought none. Default: a random UUID. */
  readonly generate?: () => string
}

/** What the client sends goes into logs and to workers: short, visible, no spaces. */
const sane = /^[!-~]{1,128}$/

/**
 * Gives each request an id, `c.get('requestId')`, and each response the header `x-request-id`, error answers included.
 * The client's own id is kept when it has 1 to 128 visible ASCII characters; else the next header counts, else one is made.
 */
export function requestId({
  headers = ['x-request-id', 'x-correlation-id', 'x-trace-id', 'request-id'],
  generate = () => crypto.randomUUID(),
}: RequestIdOptions = {}): MiddlewareHandler<GatewayEnv> {
  const names = headers.map((name) => name.toLowerCase())

  return async function requestId(c, next) {
    const id = firstSane(c, names) ?? generate()
    c.set('requestId', id)
    await next()
    if (c.get('requestIdSent') === undefined) setHeader(c, id)
  }
}

function firstSane(c: Context<GatewayEnv>, names: readonly string[]): string | undefined {
  for (const name of names) {
    const value = headerOf(c.env.incoming.headers, name)
    if (value !== undefined && sane.test(value)) return value
  }
  return undefined
}

/** After the handler, since Hono drops headers set before a handler that returns a `Response` of its own. */
function setHeader(c: Context<GatewayEnv>, id: string): void {
  try {
    c.res.headers.set('x-request-id', id)
  } catch {
    // The headers of a fetched response are immutable; Hono's own setter copies the response, which costs more.
    c.header('x-request-id', id)
  }
}
