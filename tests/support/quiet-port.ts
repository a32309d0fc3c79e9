/** Ports for workers that go away and come back: nobody else is given them in between. */

import { randomInt } from 'node:crypto'
import { createServer } from 'node:net'

/**
 * A free port below those that kernels take for outgoing connections and for port 0 (32768 and up on Linux, 49152 and up
 * elsewhere). With one of those, a busy machine could give a killed worker's port to a connection before its restart.
 */
export async function quietPort(): Promise<number> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const port = randomInt(20_000, 32_000)
    if (await isFree(port)) return port
  }
  throw new Error('no free port from 20000 to 32000 in 100 attempts')
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}
