import type { Server } from 'node:http'
import type { Server as SecureServer } from 'node:https'
import type { Socket } from 'node:net'

/** Counts the connections of a server, those that wait for a request included. */
export interface ConnectionCount {
  readonly size: number
}

/** Milliseconds for which a connection that has just been opened may be without a request. */
const freshMs = 1000

/**
 * Makes `closeIdleConnections` spare connections whose answer is not fully written yet.
 *
 * Node's `closeIdleConnections`, which its `close` calls too, takes a connection for idle as soon as `end` was called on
 * the response, and destroys it with whatever a slow client has not taken yet (Node 24.21).
 *
 * Nor is one idle that was opened a moment ago, or on which something has arrived that has not been read yet: on a busy
 * machine, a hundred requests may wait so when a router stops.
 *
 * @param secure the server speaks TLS: a connection counts once its handshake is over
 */
export function spareUnsentAnswers(server: Server | SecureServer, secure = false): ConnectionCount {
  /** Open connections, each with the number of its requests that are not over: more than one when they are pipelined. */
  const requests = new Map<Socket, number>()
  /** When those were opened that have not had a request yet. */
  const fresh = new WeakMap<Socket, number>()
  server.on(secure ? 'secureConnection' : 'connection', (socket: Socket) => {
    requests.set(socket, 0)
    fresh.set(socket, performance.now())
    socket.once('close', () => requests.delete(socket))
  })
  server.on('request', ({ socket }, response) => {
    const count = (by: number): void => {
      const before = requests.get(socket)
      if (before !== undefined) requests.set(socket, before + by)
    }
    fresh.delete(socket)
    count(1)
    response.once('close', () => count(-1))
  })
  const isFresh = (socket: Socket): boolean => performance.now() - (fresh.get(socket) ?? 0) < freshMs
  const closeIdle = (): void => {
    for (const [socket, count] of requests) if (count === 0 && !isFresh(socket)) socket.destroy()
  }
  // Two turns later: each of them reads what has arrived.
  server.closeIdleConnections = () => void setImmediate(() => setImmediate(closeIdle))
  return requests
}
