import { createServer } from 'node:net'
import { listenError } from './runtime.ts'

/**
 * Finds the port that several processes are to share: the one asked for, or a free one for 0. A listener that shares
 * does not notice a stranger's that shares too, so this one does not share, and is gone again when its port is known.
 *
 * @throws ListenError when somebody else has the port, or the address cannot be had
 */
export function claimPort(host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy())
    server.once('error', (error) => reject(listenError(error, host, port)))
    server.listen({ host, port }, () => {
      const address = server.address()
      const found = typeof address === 'object' && address !== null ? address.port : port
      server.close(() => resolve(found))
    })
  })
}
