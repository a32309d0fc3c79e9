/** A collector for vLLM's own traces: takes OTLP over HTTP in Protobuf, which is what the exporter in Python speaks. */

import { createServer } from 'node:http'
import type { Scope } from '../support/scope.ts'
import { listening } from '../support/sockets.ts'

export interface EngineSpan {
  readonly traceId: string
  readonly spanId: string
  /** Empty: none. */
  readonly parentSpanId: string
  readonly name: string
  /** Milliseconds since 1970. */
  readonly start: number
  readonly end: number
}

/** Listens on the port that vLLM was told, until the scope ends. The list grows. */
export async function startSpanReceiver(port: number, t: Scope): Promise<readonly EngineSpan[]> {
  const spans: EngineSpan[] = []
  const server = createServer((request, response) => {
    const pieces: Buffer[] = []
    request.on('data', (piece: Buffer) => pieces.push(piece))
    request.on('end', () => {
      spans.push(...spansIn(Buffer.concat(pieces)))
      response.writeHead(200, { 'content-type': 'application/x-protobuf' }).end()
    })
  })
  await listening(server, port, '127.0.0.1')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return spans
}

/** opentelemetry/proto/trace/v1/trace.proto: ExportTraceServiceRequest, ResourceSpans, ScopeSpans, Span. */
function spansIn(message: Buffer): EngineSpan[] {
  return parts(message, 1)
    .flatMap((resourceSpans) => parts(resourceSpans, 2))
    .flatMap((scopeSpans) => parts(scopeSpans, 2))
    .map((span) => ({
      traceId: hex(span, 1),
      spanId: hex(span, 2),
      parentSpanId: hex(span, 4),
      name: String(parts(span, 5)[0] ?? ''),
      start: time(span, 7),
      end: time(span, 8),
    }))
}

function hex(span: Buffer, field: number): string {
  return parts(span, field)[0]?.toString('hex') ?? ''
}

function time(span: Buffer, field: number): number {
  const nanoseconds = parts(span, field)[0]?.readBigUInt64LE(0) ?? 0n
  return Number(nanoseconds / 1000n) / 1000
}

const varint = 0
const eightBytes = 1
const counted = 2
const fourBytes = 5

/** The bytes of a field, each time that it is there. Numbers of variable length are none that is asked for here. */
function parts(message: Buffer, wanted: number): Buffer[] {
  const found: Buffer[] = []
  let at = 0
  const number = (): number => {
    let value = 0
    for (let shift = 0; ; shift += 7) {
      const byte = message[at++] ?? 0
      value += (byte & 127) * 2 ** shift
      if (byte < 128) return value
    }
  }
  const lengthOf = (kind: number): number => {
    if (kind === eightBytes) return 8
    if (kind === fourBytes) return 4
    if (kind === counted) return number()
    throw new Error(`no kind of field: ${kind}`)
  }
  while (at < message.length) {
    const tag = number()
    const kind = tag & 7
    if (kind === varint) {
      number()
      continue
    }
    const length = lengthOf(kind)
    if (tag >> 3 === wanted) found.push(message.subarray(at, at + length))
    at += length
  }
  return found
}
