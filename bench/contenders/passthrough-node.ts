/** node passthrough-node.ts PORT WORKER...: each request to the next worker, the answer as it comes. */

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { Agent, type Dispatcher } from 'undici'

const [port, ...workers] = process.argv.slice(2)
const agent = new Agent({ headersTimeout: 0, bodyTimeout: 0 })
let next = 0

createServer({ keepAliveTimeout: 300_000 }, forward).listen(Number(port), '127.0.0.1', 4096)

function forward(request: IncomingMessage, response: ServerResponse): void {
  const { host: _, connection: __, ...headers } = request.headers
  const handler: Dispatcher.DispatchHandler = {
    // undici takes a handler without this one for one of its old interface.
    onRequestStart() {},
    onResponseStart(_controller, status, fields) {
      const { connection: _, 'keep-alive': __, 'transfer-encoding': ___, ...kept } = fields
      response.writeHead(status, kept)
      // The head must not wait for the first token.
      if (fields['content-length'] === undefined) response.flushHeaders()
    },
    onResponseData(controller, bytes) {
      if (response.write(bytes)) return
      controller.pause()
      response.once('drain', () => controller.resume())
    },
    onResponseEnd: () => response.end(),
    onResponseError: () => response.destroy(),
  }
  agent.dispatch(
    {
      origin: `http://${workers[next++ % workers.length]}`,
      path: request.url ?? '/',
      method: (request.method ?? 'GET') as Dispatcher.HttpMethod,
      headers,
      body: request.method === 'POST' ? request : null,
    },
    handler,
  )
}
