import type { SpanContext } from '@opentelemetry/api'
import { parseTraceParent, TraceState } from '@opentelemetry/core'
import { headerOf } from '../../../http/incoming.ts'
import type { HeaderFields } from '../../upstream/http-client.ts'

/** What the client says of its own trace (W3C Trace Context). */
export interface ClientTrace {
  /** Undefined: it says nothing, or nothing that can be understood, and a trace begins here. */
  readonly parent: SpanContext | undefined
  /** Its fields are in the way of ours. */
  readonly hasFields: boolean
}

const nothing: ClientTrace = { parent: undefined, hasFields: false }

export function clientTraceIn(headers: HeaderFields): ClientTrace {
  const written = headerOf(headers, 'traceparent')
  const state = headerOf(headers, 'tracestate')
  if (written === undefined && state === undefined) return nothing
  const parent = written === undefined ? null : parseTraceParent(written)
  if (parent === null) return { parent: undefined, hasFields: true }
  const traceState = state === undefined ? undefined : new TraceState(state)
  return { parent: { ...parent, isRemote: true, ...(traceState && { traceState }) }, hasFields: true }
}

/**
 * The fields for a worker. The client's tracestate belongs to its traceparent: it goes on where that was understood, and
 * goes where it was not (section 4.3).
 */
export function withTraceParent(
  headers: HeaderFields,
  traceparent: string,
  { parent, hasFields }: ClientTrace,
): HeaderFields {
  const own: HeaderFields[number] = ['traceparent', traceparent]
  if (!hasFields) {
    const list = headers.slice()
    list.push(own)
    return list
  }
  const kept = headers.filter(([name]) => {
    const lower = name.toLowerCase()
    return lower !== 'traceparent' && (lower !== 'tracestate' || parent !== undefined)
  })
  return [...kept, own]
}
