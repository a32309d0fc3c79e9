/**
 * Workers that stream, as a program: node stream-worker.ts PORT COUNT.
 *
 * POST /...?tokens=N&pace=MS answers with N tokens, one every MS milliseconds, each with the time at which it was sent;
 * pace 0 sends all at once. Node's parser reads requests; the events are written to the socket as ready-made chunks, at a
 * few microseconds each.
 */

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { monotonicClock } from '../monotonic-clock.ts'
import { burst, lastEvents, modelList, roleEvent, tokenEvent } from './answers.ts'
import { Pacer } from './pacer.ts'
import { workerAddresses } from './worker-fleet.ts'

const [port = 0, count = 1] = process.argv.slice(2).map(Number)
const now = monotonicClock()
const pacer = new Pacer(() => now() / 1000)
const bursts = new Map<number, string>()
let tokensSent = 0

const framed = (text: string): string => `${text.length.toString(16)}\r\n${text}\r\n`

function handle(request: IncomingMessage, response: ServerResponse): void {
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://worker')
  if (pathname === '/health') response.end()
  else if (pathname === '/v1/models') response.setHeader('content-type', 'application/json').end(modelList)
  else if (pathname === '/metrics') response.setHeader('content-type', 'text/plain').end(metrics())
  else {
    request.resume()
    request.once('end', () =>
      answer(response, Number(searchParams.get('tokens')), Number(searchParams.get('pace'))),
    )
  }
}

function answer(response: ServerResponse, tokens: number, pace: number): void {
  const { socket } = response
  if (socket === null) return
  response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8', 'x-worker-id': 'bench' })
  if (pace === 0) sendBurst(response, socket, tokens)
  else sendPaced(response, socket, tokens, pace)
}

function sendBurst(response: ServerResponse, socket: Socket, tokens: number): void {
  const ready = bursts.get(tokens) ?? burst(tokens).replaceAll(/[^\n]+\n\n/g, framed)
  bursts.set(tokens, ready)
  tokensSent += tokens
  socket.cork()
  response.flushHeaders()
  socket.write(ready, 'latin1')
  response.end()
  socket.uncork()
}

function sendPaced(response: ServerResponse, socket: Socket, tokens: number, pace: number): void {
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
