/** Stands between router and worker, passes every byte on, and keeps what was sent for each request. */

import { connect, createServer } from 'node:net'
import { MessageReader } from '../support/http-reader.ts'
import type { Scope } from '../support/scope.ts'
import { listening, portOf } from '../support/sockets.ts'

export interface Tap {
  readonly url: string
  /** The body that the worker sent to the request with this id, its framing taken off; undefined for none. */
  bodyFor(requestId: string): Buffer | undefined
}

interface Exchange {
  readonly request: Buffer[]
  readonly response: Buffer[]
}

export async function startTap(target: string, t: Scope): Promise<Tap> {
  const { hostname, port } = new URL(target)
  const exchanges: Exchange[] = []
  const server = createServer((client) => {
    const worker = connect(Number(port), hostname)
    let current: Exchange | undefined
    client.on('data', (bytes: Buffer) => {
      // Nothing is pipelined: what comes after an answer is the next request.
      if (current === undefined || current.response.length > 0) {
        current = { request: [], response: [] }
        exchanges.push(current)
      }
      current.request.push(bytes)
      worker.write(bytes)
    })
    worker.on('data', (bytes: Buffer) => {
      current?.response.push(bytes)
      client.write(bytes)
    })
    for (const [from, to] of [
      [client, worker],
      [worker, client],
    ] as const) {
      from.on('error', () => to.destroy())
      from.on('close', () => to.destroy())
    }
  })
  await listening(server, 0, '127.0.0.1')
  t.after(() => server.close())
  return {
    url: `http://127.0.0.1:${portOf(server)}`,
    bodyFor(requestId) {
      const found = exchanges.find(({ request }) => request[0]?.includes(`x-request-id: ${requestId}\r\n`))
      return found && bodyOf(found)
    },
  }
}

function bodyOf({ request, response }: Exchange): Buffer {
  const pieces: Buffer[] = []
  const method = request[0]?.toString('latin1').split(' ')[0] ?? 'GET'
  const reader = new MessageReader(
    { kind: 'response', method },
    { onHead() {}, onBody: (piece) => pieces.push(Buffer.from(piece)), onEnd() {} },
  )
  for (const bytes of response) reader.push(bytes)
  return Buffer.concat(pieces)
}
