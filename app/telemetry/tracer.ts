import type { RequestRecord } from '../request/request-record.ts'
import type { RequestTrace } from '../request/request-trace.ts'
import type { HeaderFields } from '../upstream/http-client.ts'

/** Makes traces of requests and sends them away. Without tracing there is none, and nothing of it is loaded. */
export interface Tracer {
  /** A request has come; undefined where the client's own trace is not recorded: it passes unchanged. */
  begin(headers: HeaderFields): RequestTrace | undefined
  /** The request has ended, its last byte included. */
  end(record: RequestRecord): void
  /** Takes over another share of requests to be traced, 0 to 1. */
  sample(ratio: number): void
  /** Sends what is left, for two seconds at most. Never rejects. */
  stop(): Promise<void>
}
