/** What `node:net` does not give: a port that surely refuses, and a reset that is safe at any time. */

import { connect, createServer, type Server, type Socket } from 'node:net'
import { pause } from './deadline.ts'

export interface ClosedPort {
  readonly port: number
  release(): Promise<void>
}

/**
 * The listener is closed again, but a connection that it accepted stays open: so the kernel refuses new connections, and
 * does not hand the port out, neither for port 0 nor as the local port of a connection (both do happen to a port that
 * was merely opened and closed). Listening on it by name still works, as `SO_REUSEADDR` allows.
 */
export async function closedPort(): Promise<ClosedPort> {
  const server = createServer()
  await listening(server, 0)
  const port = portOf(server)
  const client = connect({ port, host: '127.0.0.1' })
  const accepted = await new Promise<Socket>((resolve, reject) => {
    client.once('error', reject)
    server.once('connection', resolve)
  })
  for (const socket of [client, accepted]) socket.on('error', () => {})
  const closed = new Promise<void>((resolve) => server.close(() => resolve()))
  const release = async (): Promise<void> => {
    for (const socket of [client, accepted]) resetSocket(socket)
    await closed
  }
  return { port, release }
}

/**
 * Listens, with a backlog for bursts. A port given by number may be taken for a moment by somebody's connection: two
 * seconds of patience.
 */
export async function listening(server: Server, port: number, host = '127.0.0.1'): Promise<void> {
  const patience = performance.now() + 2000
  for (;;) {
    const error = await new Promise<NodeJS.ErrnoException | undefined>((resolve) => {
      server.once('error', resolve)
      server.listen(port, host, 1024, () => {
        server.off('error', resolve)
        resolve(undefined)
      })
    })
    if (error === undefined) return
    if (port === 0 || error.code !== 'EADDRINUSE' || performance.now() > patience) throw error
    await pause(20)
  }
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
