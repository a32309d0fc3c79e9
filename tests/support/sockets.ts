/** What `node:net` does not give: a port that surely refuses, and a reset that is safe at any time. */

import { connect, createServer, type Server, type Socket } from 'node:net'

export interface ClosedPort {
  readonly port: number
  release(): Promise<void>
}

/**
 * The port is the local end of an open connection: the kernel then refuses connections to it and does not hand it out
 * for port 0. (A port that was opened and closed again may be given to the next test in the meantime.)
 */
export async function closedPort(): Promise<ClosedPort> {
  const { server, socket } = await new Promise<{ server: Server; socket: Socket }>((resolve, reject) => {
    const server = createServer((peer) => peer.on('error', () => {}))
    server.listen(0, '127.0.0.1', () => {
      const socket = connect({ port: portOf(server), host: '127.0.0.1' })
      socket.once('error', reject)
      socket.once('connect', () => resolve({ server, socket }))
    })
  })
  const port = socket.localPort
  if (port === undefined) throw new Error('no local port')
  const release = async (): Promise<void> => {
    // A reset leaves no TIME_WAIT behind: the port can be listened on at once.
    socket.resetAndDestroy()
    await new Promise<void>((resolve) => server.close(() => resolve()))
  }
  return { port, release }
}

export function portOf(server: Server): number {
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the server has no port')
  return address.port
}

/**
 * RST instead of FIN, so that the peer reads ECONNRESET. After `end()` it is too late for that: libuv refuses to reset a
 * socket that is shutting down, and Node 24 then spins at full load without ever closing it.
 */
export function resetSocket(socket: Socket): void {
  if (socket.writableEnded) socket.destroy()
  else socket.resetAndDestroy()
}
