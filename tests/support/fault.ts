/** What a fault is, and the pieces that the faults are made of. */

import type { Answer } from './answers.ts'
import type { RecordedRequest } from './recorder.ts'
import {
  answer,
  chunk,
  completed,
  type HeaderFields,
  head,
  lastChunk,
  type Script,
  type Step,
  streamHead,
  wait,
} from './wire.ts'

/**
 * When a fault strikes, as the client of a router must see it. `before-commit`: nothing of use has come yet, so another
 * worker can answer. `after-commit`: content has come. `none`: odd, but whole and right.
 * A plain answer is held until it is complete, so a cut plain body is `before-commit`.
 */
export type Phase = 'before-commit' | 'after-commit' | 'none'

/** What a fault needs of the worker it strikes. */
export interface Healthy {
  answerTo(request: RecordedRequest): Answer
  healthy(request: RecordedRequest): Script
}

export interface Fault {
  readonly name: string
  /** When it strikes an answer that streams. */
  readonly stream: Phase
  /** When it strikes an answer that does not. */
  readonly plain: Phase
  /** The stream breaks within an event that has been passed on in part: no event can follow that says so. */
  readonly cuts: boolean
  /** The worker never ends it: only a deadline, or a client that leaves, does. */
  readonly hangs: boolean
  /** Nothing listens on the worker's port. */
  readonly refuses: boolean
  /** The status, when the worker itself gives a proper answer. */
  readonly answers: number | undefined
  /** undefined: the healthy answer. */
  script(request: RecordedRequest, worker: Healthy): Script | undefined
}

export interface Traits {
  readonly stream: Phase
  readonly plain: Phase
  readonly cuts?: boolean
  readonly hangs?: boolean
  readonly refuses?: boolean
  readonly answers?: number
}

export type Strike = (request: RecordedRequest, worker: Healthy) => Script | undefined

export function fault(name: string, traits: Traits, script: Strike): Fault {
  return { name, cuts: false, hangs: false, refuses: false, answers: undefined, ...traits, script }
}

/** For both kinds of answers, before anything of use has come. */
export const early = { stream: 'before-commit', plain: 'before-commit' } as const
/** After content of a stream; a plain answer is cut in its body. */
export const late = { stream: 'after-commit', plain: 'before-commit' } as const
/** Only streams, before content. */
export const beforeContent = { stream: 'before-commit', plain: 'none' } as const
/** Only streams, after content. */
export const afterContent = { stream: 'after-commit', plain: 'none' } as const
export const harmless = { stream: 'none', plain: 'none' } as const

/**
 * Between the last bytes and the end of the connection. A peer that gets data and a reset in one go may drop the data
 * unread (Bun does), so without the gap it would be left to chance whether the content arrived.
 */
export const gap = wait(25)

export const json = (length: number): HeaderFields => ({
  'content-type': 'application/json',
  'content-length': length,
})

/** A stream up to and including `tokens` tokens, or half a plain answer: then what `ending` says. */
export function cutAfter(tokens: number, ...ending: readonly Step[]): Strike {
  return (request, worker) => {
    const whole = worker.answerTo(request)
    if (!request.stream) return [...halfOf(whole.json), gap, ...ending]
    const events = [...whole.prelude, ...whole.tokens.slice(0, tokens)]
    return [streamHead(), ...events.map(chunk), gap, ...ending]
  }
}

export function halfOf(body: string): Script {
  const bytes = Buffer.from(body)
  return [head(200, json(bytes.length)), bytes.subarray(0, bytes.length >> 1)]
}

/** Only streams have this fault: a plain answer is healthy. */
export function inStream(script: (whole: Answer, request: RecordedRequest) => Script): Strike {
  return (request, worker) => (request.stream ? script(worker.answerTo(request), request) : undefined)
}

export const headOf: Strike = (request, worker) =>
  request.stream ? [streamHead()] : [head(200, json(Buffer.byteLength(worker.answerTo(request).json)))]

/** The healthy answer, with headers added. */
export function whole(request: RecordedRequest, worker: Healthy, headers: HeaderFields = {}): Script {
  const { json: body, prelude, tokens, finish } = worker.answerTo(request)
  if (!request.stream) return answer(200, body, headers)
  return [streamHead(headers), ...[...prelude, ...tokens, ...finish].map(chunk), lastChunk, completed]
}
