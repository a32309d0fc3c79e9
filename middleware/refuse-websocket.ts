import type { MiddlewareHandler } from 'hono'
import { RouterError } from '../http/errors.ts'
import type { GatewayEnv } from './gateway-env.ts'

/**
 * Refuses a WebSocket by name: relayed without its `Upgrade`, the handshake would only get a 404 from a worker, which
 * sends whoever reads it to look for the fault there.
 *
 * @throws RouterError `websocket_not_supported`
 */
export function refuseWebSocket(): MiddlewareHandler<GatewayEnv> {
  return function refuseWebSocket(c, next) {
    // RFC 6455, section 4.1: a handshake is a GET.
    if (c.req.method !== 'GET' || !/\bwebsocket\b/i.test(c.env.incoming.header('upgrade') ?? ''))
      return next()
    throw new RouterError(
      'websocket_not_supported',
      'The router does not relay WebSockets (/v1/realtime of vLLM): connect to a vLLM server itself.',
    )
  }
}
