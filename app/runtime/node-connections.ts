import type { Server } from 'node:http'
import type { Socket } from 'node:net'

/** Counts the connections of a server, those that wait for a request included. */
export interface ConnectionCount {
  readonly size: number
}

/**
 * Gives a server another idea of what an idle connection is: one without a request whose answer has not left entirely.
 *
 * Node's `closeIdleConnections`, which its `close` calls too, takes a connection for idle as soon as `end` was called on
 * the response, and destroys it with whatever a slow client has not taken yet (Node 24.21).
 */
export function spareUnsentAnswers(server: Server): ConnectionCount {
  /** Open connections, each with the number of its requests that are not over: more than one when they are pipelined. */
  const requests = new Map<Socket, number>()
  server.on('connection', (socket) => {
    requests.set(socket, 0)
    socket.once('close', () => requests.delete(socket))
  })
  server.on('request', ({ socket }, response) => {
    const count = (by: number): void => {
      const before = requests.get(socket)
      if (before !== undefined) requests.set(socket, before + by)
    }
    count(1)
    response.once('close', () => count(-1))
  })
  server.closeIdleConnections = () => {
    for (const [socket, count] of requests) if (count === 0) socket.destroy()
  }
  return requests
}
