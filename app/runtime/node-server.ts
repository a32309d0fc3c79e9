import { constants } from 'node:crypto'
import { createServer, type RequestListener, type Server, type ServerOptions } from 'node:http'
import { createServer as createSecureServer, type Server as SecureServer } from 'node:https'
import type { Socket } from 'node:net'
import type { SecureContextOptions, TLSSocket } from 'node:tls'
import { type ConnectionCount, spareUnsentAnswers } from './node-connections.ts'
import type { ServerTls } from './server-tls.ts'

/** A server of Node's with the limits of ours, over plain TCP or TLS. */
export interface NodeServer {
  readonly server: Server | SecureServer
  readonly connections: ConnectionCount
  /** For a server over TLS. */
  renew(tls: ServerTls): void
}

/** Milliseconds in which a client must have sent its head, and before that have ended its part of the TLS handshake. */
const headMs = 10_000

const limits: ServerOptions = {
  headersTimeout: headMs,
  // An upload may take as long as it likes: it is limited by its silence.
  requestTimeout: 0,
  connectionsCheckingInterval: 1_000,
  // Above the 60 s of common load balancers, so that they close idle connections, not we under their hands.
  keepAliveTimeout: 75_000,
  // Bytes. Beyond, Node's parser itself answers with a bare 431: no middleware and no log line sees the request.
  maxHeaderSize: 64 * 1024,
  noDelay: true,
}

export function createNodeServer(tls: ServerTls | undefined, listener: RequestListener): NodeServer {
  if (tls === undefined) {
    const server = createServer(limits, listener)
    const renew = (): void => {
      throw new TypeError('this listener speaks plain HTTP')
    }
    return { server, connections: spareUnsentAnswers(server), renew }
  }
  const asked = tls.clientCa !== undefined
  const server = createSecureServer(
    {
      ...limits,
      ...contextOf(tls),
      handshakeTimeout: headMs,
      requestCert: asked,
      rejectUnauthorized: asked,
    },
    listener,
  )
  const handshakes = watchHandshakes(server)
  const secured = spareUnsentAnswers(server, true)
  const { closeIdleConnections, closeAllConnections } = server
  // Nothing was asked on them yet.
  server.closeIdleConnections = () => {
    handshakes.abandon()
    closeIdleConnections.call(server)
  }
  server.closeAllConnections = () => {
    handshakes.abandon()
    closeAllConnections.call(server)
  }
  return {
    server,
    connections: {
      get size() {
        return secured.size + handshakes.size
      },
    },
    renew: (next) => server.setSecureContext(contextOf(next)),
  }
}

function contextOf({ cert, key, clientCa }: ServerTls): SecureContextOptions {
  return {
    ...{ cert, key, minVersion: 'TLSv1.2' },
    // A connection has one client for its whole life: nobody may show another certificate in the middle of it.
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
    ...(clientCa !== undefined && { ca: clientCa }),
  }
}

interface Handshakes extends ConnectionCount {
  /** Closes their connections. */
  abandon(): void
}

/**
 * Connections whose TLS handshake is not over: Node's `closeAllConnections` knows nothing of them, and its `close` waits
 * for them.
 */
function watchHandshakes(server: SecureServer): Handshakes {
  const open = new Map<string, Socket>()
  server.on('connection', (socket: Socket) => {
    const name = endOf(socket)
    open.set(name, socket)
    socket.once('close', () => open.get(name) === socket && open.delete(name))
  })
  server.on('secureConnection', (secure: TLSSocket) => {
    const name = endOf(secure)
    const socket = open.get(name)
    open.delete(name)
    // Only the socket below can be reset (ERR_INVALID_HANDLE_TYPE, Node 24.21).
    secure.resetAndDestroy = function resetAndDestroy() {
      socket?.resetAndDestroy()
      return this
    }
  })
  // A client that gives up, or has no business here: its connection is closed, and there is nobody to tell.
  server.on('tlsClientError', (_, secure) => secure.destroy())
  return {
    get size() {
      return open.size
    },
    abandon() {
      for (const socket of open.values()) socket.destroy()
    },
  }
}

function endOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`
}
