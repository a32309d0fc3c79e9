/**
 * passthrough-sockets.ts PORT WORKER..., on Node or on Bun: the runtime's own HTTP server towards the client, bare sockets
 * of `node:net` towards the workers. No check, no retry, no limit: the least that a client of one's own costs. It
 * understands what the benchmark's workers send, with a length or in chunks, and nothing else.
 */

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { connect, type Socket } from 'node:net'

const [port, ...workers] = process.argv.slice(2)
const idle = new Map<string, Upstream[]>()
let next = 0

/** What an answer is given to. */
interface Sink {
  head(status: number, fields: Record<string, string>): void
  data(bytes: Buffer): void
  end(): void
}

class Upstream {
  readonly #worker: string
  readonly #socket: Socket
  #sink: Sink | undefined
  #head = ''
  /** Bytes of the body that are still to come; -1 where they come in chunks. */
  #left = 0
  /** Of a chunk that has not come whole. */
  #part = Buffer.alloc(0)

  constructor(worker: string) {
    this.#worker = worker
    const [host = '', workerPort] = worker.split(':')
    this.#socket = connect({ host, port: Number(workerPort), noDelay: true })
    this.#socket.on('data', (bytes) => this.#take(bytes))
    this.#socket.on('error', () => process.exit(1))
  }

  send(head: string, body: Buffer, sink: Sink): void {
    this.#sink = sink
    this.#head = ''
    this.#socket.cork()
    this.#socket.write(head, 'latin1')
    if (body.byteLength > 0) this.#socket.write(body)
    this.#socket.uncork()
  }

  #take(bytes: Buffer): void {
    const sink = this.#sink
    if (sink === undefined) return
    let rest = bytes
    if (!this.#head.endsWith('\r\n\r\n')) {
      const end = bytes.indexOf('\r\n\r\n')
      if (end === -1) throw new Error('a head in two pieces')
      this.#head = bytes.toString('latin1', 0, end + 4)
      rest = bytes.subarray(end + 4)
      this.#begin(sink)
    }
    if (this.#left >= 0) this.#plain(rest, sink)
    else this.#chunks(rest, sink)
  }

  #begin(sink: Sink): void {
    const [status = '', ...lines] = this.#head.slice(0, -4).split('\r\n')
    const fields: Record<string, string> = {}
    for (const line of lines) {
      const colon = line.indexOf(':')
      fields[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim()
    }
    const { connection: _, 'transfer-encoding': chunked, ...kept } = fields
    this.#left = chunked === undefined ? Number(fields['content-length'] ?? 0) : -1
    sink.head(Number(status.slice(9, 12)), kept)
  }

  #plain(bytes: Buffer, sink: Sink): void {
    this.#left -= bytes.byteLength
    if (bytes.byteLength > 0) sink.data(bytes)
    if (this.#left === 0) this.#finish(sink)
  }

  #chunks(read: Buffer, sink: Sink): void {
    const bytes = this.#part.byteLength === 0 ? read : Buffer.concat([this.#part, read])
    let at = 0
    while (at < bytes.byteLength) {
      const line = bytes.indexOf('\r\n', at)
      const size = line === -1 ? Number.NaN : Number.parseInt(bytes.toString('latin1', at, line), 16)
      const after = line + 4 + size
      if (!(after <= bytes.byteLength)) break
      if (size > 0) sink.data(bytes.subarray(line + 2, line + 2 + size))
      else this.#finish(sink)
      at = after
    }
    this.#part = Buffer.from(bytes.subarray(at))
  }

  #finish(sink: Sink): void {
    this.#sink = undefined
    idle.get(this.#worker)?.push(this)
    sink.end()
  }
}

function forward(method: string, path: string, fields: Iterable<[string, string]>, body: Buffer, sink: Sink) {
  const worker = workers[next++ % workers.length]!
  let head = `${method} ${path} HTTP/1.1\r\nhost: ${worker}\r\n`
  for (const [name, value] of fields)
    if (name !== 'host' && name !== 'connection' && name !== 'transfer-encoding')
      head += `${name}: ${value}\r\n`
  const own = idle.get(worker)?.pop() ?? new Upstream(worker)
  own.send(`${head}\r\n`, body, sink)
}

for (const worker of workers) idle.set(worker, [])

if (typeof Bun === 'undefined') {
  createServer({ keepAliveTimeout: 300_000 }, onNode).listen(Number(port), '127.0.0.1', 4096)
} else {
  Bun.serve({ port: Number(port), hostname: '127.0.0.1', idleTimeout: 0, fetch: onBun })
}

async function onNode(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const pieces: Buffer[] = []
  if (request.method === 'POST') for await (const piece of request) pieces.push(piece as Buffer)
  const fields = Object.entries(request.headers) as [string, string][]
  forward(request.method ?? 'GET', request.url ?? '/', fields, Buffer.concat(pieces), {
    head: (status, kept) => {
      response.writeHead(status, kept)
      // The head must not wait for the first token.
      if (kept['content-length'] === undefined) response.flushHeaders()
    },
    data: (bytes) => void response.write(bytes),
    end: () => void response.end(),
  })
}

async function onBun(request: Request): Promise<Response> {
  const { pathname, search } = new URL(request.url)
  const body = request.method === 'POST' ? Buffer.from(await request.arrayBuffer()) : Buffer.alloc(0)
  return new Promise((resolve) => {
    let controller: ReadableStreamDefaultController<Uint8Array> | undefined
    let status = 200
    let fields: Record<string, string> = {}
    forward(request.method, pathname + search, request.headers, body, {
      head(code, kept) {
        status = code
        fields = kept
        if (kept['content-length'] !== undefined) return
        const stream = new ReadableStream<Uint8Array>({
          start(own) {
            controller = own
          },
        })
        resolve(new Response(stream, { status, headers: fields }))
      },
      data(bytes) {
        // The socket's buffer is used again.
        const own = Uint8Array.from(bytes)
        if (controller === undefined) resolve(new Response(own, { status, headers: fields }))
        else controller.enqueue(own)
      },
      end: () => controller?.close(),
    })
  })
}
