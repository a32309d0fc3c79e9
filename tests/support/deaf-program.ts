/**
 * A worker that is healthy until it is stopped (SIGSTOP): then its small backlog is soon full, and the kernel drops
 * whatever wants to connect. Every answer closes its connection, so that nobody has an idle one left by then.
 */

import { createServer } from 'node:http'
import { portOf } from './sockets.ts'

const models = JSON.stringify({ object: 'list', data: [{ id: 'test-model', object: 'model' }] })

const server = createServer((request, response) => {
  response.writeHead(200, { 'content-type': 'application/json', connection: 'close' })
  response.end(request.url === '/v1/models' ? models : '{}')
})
server.listen({ port: 0, host: '127.0.0.1', backlog: 64 }, () => {
  process.stdout.write(`port ${portOf(server)}\n`)
})
