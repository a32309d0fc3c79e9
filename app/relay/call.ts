import type { Dialect } from '../../http/errors.ts'
import type { RequestBody } from '../../http/request-body.ts'
import type { RequestRecord } from '../request/request-record.ts'
import type { HeaderFields } from '../upstream/http-client.ts'
import type { Worker } from '../workers/worker.ts'
import type { Answer } from './exchange.ts'
import type { LongHold } from './long-hold.ts'
import type { RequestKind } from './request-kind.ts'

/** What is still needed of a request once its stream is committed: not its body, which may have megabytes. */
export interface StreamFacts {
  readonly dialect: Dialect
  /** Streams of this route end with a marker; a stream without it is a broken one. */
  readonly endMarker: boolean
  /** Answers within the stream, `n` times the prompts: each ends by itself. */
  readonly choices: number
  readonly record: RequestRecord
}

/** One client request on its way to a worker: everything that every attempt at it needs. */
export interface Call extends StreamFacts {
  readonly method: string
  /** Path and query string as the client sent them. */
  readonly path: string
  /** What goes to the worker, hop-by-hop fields gone. */
  readonly headers: HeaderFields
  /** The client's own bytes. */
  readonly body: RequestBody | undefined
  /** It changes the worker: what has been sent once is not sent to another. */
  readonly once?: boolean | undefined
  /** The only worker that can answer: it has what the request is about. Undefined: any that serves the model. */
  readonly home?: Worker | undefined
  /** Where such an answer means that another worker may have what this one has not: all that have not. */
  readonly elsewhere?: ((answer: Answer, worker: Worker) => readonly Worker[] | undefined) | undefined
  /** The client asked for a stream: the deadlines of streams count. */
  readonly stream: boolean
  /** What the pool is told of it. */
  readonly kind: RequestKind
  /** Keeps the client's connection alive while nothing is committed; undefined where that is not wanted. */
  readonly longHold: LongHold | undefined
}
