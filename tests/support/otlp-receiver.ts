/** A receiver of traces: the HTTP server of a collector, which keeps what it gets (OTLP in JSON). */

import { createServer, type IncomingMessage, type Server } from 'node:http'
import { eventually } from './deadline.ts'
import type { Scope } from './scope.ts'
import { listening, portOf } from './sockets.ts'

type Value = string | number | boolean

export interface ReceivedSpan {
  readonly traceId: string
  readonly spanId: string
  /** Empty: none. */
  readonly parentSpanId: string
  readonly traceState: string | undefined
  readonly name: string
  /** 2 is a server's, 3 a client's. */
  readonly kind: number
  /** Milliseconds since 1970. */
  readonly start: number
  readonly end: number
  readonly attributes: Readonly<Record<string, Value>>
  readonly events: readonly { readonly name: string; readonly at: number }[]
  /** 0 unset, 2 error. */
  readonly status: number
  readonly resource: Readonly<Record<string, Value>>
}

export interface OtlpReceiver {
  /** For `--otlp-traces-endpoint`. */
  readonly url: string
  readonly spans: readonly ReceivedSpan[]
  /** Whole bodies, for what must not be in them. */
  readonly bodies: readonly string[]
  /** Requests that came, answered or not. */
  readonly posts: readonly { readonly path: string; readonly headers: IncomingMessage['headers'] }[]
  /** From now on: answers as a collector does, refuses for good, or takes everything and never answers. */
  behave(how: 'well' | 'refuse' | 'hang'): void
  /** Spans of the trace, when there are `count` of them; in the order of their beginning. */
  trace(traceId: string, count: number): Promise<readonly ReceivedSpan[]>
  /** All spans, when there are `count` of them. */
  first(count: number): Promise<readonly ReceivedSpan[]>
}

export async function startOtlpReceiver(t: Scope): Promise<OtlpReceiver> {
  const receiver = new Receiver()
  await listening(receiver.server, 0, '127.0.0.1')
  t.after(() => receiver.close())
  return receiver
}

class Receiver implements OtlpReceiver {
  readonly spans: ReceivedSpan[] = []
  readonly bodies: string[] = []
  readonly posts: { path: string; headers: IncomingMessage['headers'] }[] = []
  readonly server: Server
  #how: 'well' | 'refuse' | 'hang' = 'well'

  constructor() {
    this.server = createServer((request, response) => {
      const pieces: Buffer[] = []
      request.on('data', (piece: Buffer) => pieces.push(piece))
      request.on('end', () => {
        this.posts.push({ path: request.url ?? '', headers: request.headers })
        if (this.#how === 'hang') return
        if (this.#how === 'well') this.#keep(Buffer.concat(pieces).toString())
        response.writeHead(this.#how === 'well' ? 200 : 400, { 'content-type': 'application/json' }).end('{}')
      })
    })
  }

  get url(): string {
    return `http://127.0.0.1:${portOf(this.server)}/v1/traces`
  }

  behave(how: 'well' | 'refuse' | 'hang'): void {
    this.#how = how
  }

  async trace(traceId: string, count: number): Promise<readonly ReceivedSpan[]> {
    const found = await eventually(
      () => {
        const spans = this.spans.filter((span) => span.traceId === traceId)
        return spans.length >= count && spans
      },
      { what: `${count} spans of a trace`, withinMs: 10_000 },
    )
    return found.toSorted((a, b) => a.start - b.start || a.kind - b.kind)
  }

  first(count: number): Promise<readonly ReceivedSpan[]> {
    return eventually(() => this.spans.length >= count && this.spans, {
      what: `${count} spans`,
      withinMs: 10_000,
    })
  }

  close(): Promise<void> {
    this.server.closeAllConnections()
    return new Promise((resolve) => this.server.close(() => resolve()))
  }

  #keep(body: string): void {
    this.bodies.push(body)
    const { resourceSpans } = JSON.parse(body) as OtlpBody
    for (const { resource, scopeSpans } of resourceSpans)
      for (const { spans } of scopeSpans)
        for (const span of spans) this.spans.push(read(span, valuesOf(resource.attributes)))
  }
}

interface OtlpAttribute {
  readonly key: string
  readonly value: {
    readonly stringValue?: string
    readonly intValue?: string | number
    readonly doubleValue?: number
    readonly boolValue?: boolean
  }
}

interface OtlpSpan {
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
  readonly traceState?: string
  readonly name: string
  readonly kind: number
  readonly startTimeUnixNano: string
  readonly endTimeUnixNano: string
  readonly attributes: readonly OtlpAttribute[]
  readonly events: readonly { readonly name: string; readonly timeUnixNano: string }[]
  readonly status: { readonly code?: number }
}

interface OtlpBody {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly OtlpAttribute[] }
    readonly scopeSpans: readonly { readonly spans: readonly OtlpSpan[] }[]
  }[]
}

function read(span: OtlpSpan, resource: ReceivedSpan['resource']): ReceivedSpan {
  const { traceId, spanId, parentSpanId = '', traceState, name, kind, status } = span
  return {
    ...{ traceId, spanId, parentSpanId, traceState, name, kind, resource },
    start: milliseconds(span.startTimeUnixNano),
    end: milliseconds(span.endTimeUnixNano),
    attributes: valuesOf(span.attributes),
    events: span.events.map((event) => ({ name: event.name, at: milliseconds(event.timeUnixNano) })),
    status: status.code ?? 0,
  }
}

function valuesOf(attributes: readonly OtlpAttribute[]): Readonly<Record<string, Value>> {
  return Object.fromEntries(
    attributes.map(({ key, value: { stringValue, intValue, doubleValue, boolValue } }) => [
      key,
      stringValue ?? (intValue === undefined ? (doubleValue ?? boolValue ?? '') : Number(intValue)),
    ]),
  )
}

/** Of nanoseconds, which a number cannot hold. */
function milliseconds(nanoseconds: string): number {
  return Number(BigInt(nanoseconds) / 1000n) / 1000
}
