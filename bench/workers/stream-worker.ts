/**
 * Workers that stream, as a program: node stream-worker.ts PORT COUNT TOKENS PACE.
 *
 * Every POST is answered with so many tokens, one every PACE milliseconds, each with the time at which it was sent; pace 0
 * sends all at once. Requests do not say so themselves: not every contender passes a query string on. Node's parser reads requests; the events are written to the socket as ready-made chunks, at a
 * few microseconds each.
 */

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { monotonicClock } from '../monotonic-clock.ts'
import { burst, lastEvents, modelList, roleEvent, tokenEvent } from './answers.ts'
import { Pacer } from './pacer.ts'
import { workerAddresses } from './worker-fleet.ts'

const [port = 0, count = 1, tokens = 1, pace = 0] = process.argv.slice(2).map(Number)
const now = monotonicClock()
const pacer = new Pacer(() => now() / 1000)
let tokensSent = 0

const framed = (text: string): string => `${text.length.toString(16)}\r\n${text}\r\n`
const wholeBurst = burst(tokens).replaceAll(/[^\n]+\n\n/g, framed)

function handle(request: IncomingMessage, response: ServerResponse): void {
  const { url } = request
  if (url === '/health') response.end()
  else if (url === '/v1/models') response.setHeader('content-type', 'application/json').end(modelList)
  else if (url === '/metrics') response.setHeader('content-type', 'text/plain').end(metrics())
  else {
    request.resume()
    request.once('end', () => answer(response))
  }
}

function answer(response: ServerResponse): void {
  const { socket } = response
  if (socket === null) return
  response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8', 'x-worker-id': 'bench' })
  if (pace === 0) sendBurst(response, socket)
  else sendPaced(response, socket)
}

function sendBurst(response: ServerResponse, socket: Socket): void {
  tokensSent += tokens
  socket.cork()
  response.flushHeaders()
  socket.write(wholeBurst, 'latin1')
  response.end()
  socket.uncork()
}

function sendPaced(response: ServerResponse, socket: Socket): void {
  let number = 0
  response.flushHeaders()
  const cancel = pacer.every(pace, () => {
    const first = number === 0 ? framed(roleEvent) : ''
    socket.write(first + framed(tokenEvent(number, now())), 'latin1')
    tokensSent++
    number++
    if (number < tokens) return
    cancel()
    socket.write(framed(lastEvents), 'latin1')
    response.end()
  })
  response.once('close', cancel)
}

function metrics(): string {
  return `# TYPE vllm:generation_tokens_total counter\nvllm:generation_tokens_total{model_name="bench-model"} ${tokensSent}\n`
}

for (const address of workerAddresses(count)) {
  const server = createServer({ keepAliveTimeout: 300_000, requestTimeout: 0 }, handle)
  server.listen({ port, host: address, backlog: 4096 })
}
