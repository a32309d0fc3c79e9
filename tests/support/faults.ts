/** The ways in which a worker fails, each a named script. `allFaults` is the list from which a fault matrix is made. */

import { workerErrorBody, workerErrorEvent } from './answers.ts'
import {
  afterContent,
  beforeContent,
  cutAfter,
  early,
  type Fault,
  fault,
  gap,
  type Healthy,
  harmless,
  headOf,
  inStream,
  json,
  late,
  type Strike,
  whole,
} from './fault.ts'
import { seeded, slices } from './random.ts'
import type { RecordedRequest } from './recorder.ts'
import {
  answer,
  chunk,
  close,
  completed,
  type HeaderFields,
  hang,
  head,
  lastChunk,
  repeat,
  reset,
  type Script,
  type Step,
  streamHead,
  wait,
} from './wire.ts'

export type { Fault, Phase } from './fault.ts'

// Connection

export const refuse = (): Fault => fault('refuse', { ...early, refuses: true }, () => [reset])
export const acceptAndHang = (): Fault => fault('acceptAndHang', { ...early, hangs: true }, () => [hang])
export const closeBeforeHead = (): Fault => fault('closeBeforeHead', early, () => [close])
export const resetBeforeHead = (): Fault => fault('resetBeforeHead', early, () => [reset])

// Head

export const halfHead = (): Fault =>
  fault('halfHead', early, () => ['HTTP/1.1 200 OK\r\ncontent-type: appli', gap, close])
export const closeAfterHead = (): Fault =>
  fault('closeAfterHead', early, (...to) => [...(headOf(...to) ?? []), gap, close])
export const resetAfterHead = (): Fault =>
  fault('resetAfterHead', early, (...to) => [...(headOf(...to) ?? []), gap, reset])
export const hangAfterHead = (): Fault =>
  fault('hangAfterHead', { ...early, hangs: true }, (...to) => [...(headOf(...to) ?? []), hang])
/** The start of a TLS handshake, as from a port that speaks another protocol. */
export const garbageHead = (): Fault =>
  fault('garbageHead', early, () => [
    Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x0d, 0x0a, 0x0d, 0x0a]),
    gap,
    close,
  ])
export const hugeHeader = (bytes = 300_000): Fault =>
  fault('hugeHeader', early, (request, worker) => whole(request, worker, { 'x-huge': 'a'.repeat(bytes) }))
/** Milliseconds. */
export const slowHead = (ms = 150): Fault =>
  fault('slowHead', harmless, (request, worker) => [wait(ms), ...worker.healthy(request)])
/** 102 Processing many times (RFC 9110, 15.2 lets a server send any number), then the answer. */
export const flood1xx = (times = 1000): Fault =>
  fault('flood1xx', harmless, (request, worker) => [head(102).repeat(times), ...worker.healthy(request)])

// Framing

/** Both Content-Length and Transfer-Encoding: "ought to be handled as an error" (RFC 9112, 6.3). */
export const contentLengthAndTransferEncoding = (): Fault =>
  fault('contentLengthAndTransferEncoding', early, (request, worker) => {
    const { json: body, prelude, tokens, finish } = worker.answerTo(request)
    const text = request.stream ? [...prelude, ...tokens, ...finish].join('') : body
    const type = request.stream ? 'text/event-stream' : 'application/json'
    const fields = { 'content-type': type, 'content-length': Buffer.byteLength(text) }
    return [head(200, { ...fields, 'transfer-encoding': 'chunked' }), chunk(text), lastChunk]
  })
/** Content-Length promises more than comes before the connection closes. */
export const wrongContentLength = (missing = 100): Fault =>
  fault('wrongContentLength', late, (request, worker) => {
    const { json: body, prelude, tokens } = worker.answerTo(request)
    const text = request.stream ? [...prelude, ...tokens].join('') : body
    const type = request.stream ? 'text/event-stream' : 'application/json'
    const length = Buffer.byteLength(text) + missing
    return [head(200, { 'content-type': type, 'content-length': length }), text, gap, close]
  })
/** A chunk whose size is no number. */
export const badChunk = (): Fault => fault('badChunk', late, chunkedThen('zz\r\ndata\r\n', gap, close))
/** The connection closes inside a chunk. */
export const truncatedChunked = (): Fault =>
  fault('truncatedChunked', late, chunkedThen('ff\r\ndata: ', gap, close))

function chunkedThen(...ending: readonly Step[]): Strike {
  return (request, worker) => {
    if (request.stream) return cutAfter(2, ...ending)(request, worker)
    const body = worker.answerTo(request).json
    const start = head(200, { 'content-type': 'application/json', 'transfer-encoding': 'chunked' })
    return [start, chunk(body.slice(0, body.length >> 1)), gap, ...ending]
  }
}

// Stream

export const closeAfterRoleDelta = (): Fault =>
  fault('closeAfterRoleDelta', beforeContent, afterRoleDelta(close))
export const resetAfterRoleDelta = (): Fault =>
  fault('resetAfterRoleDelta', beforeContent, afterRoleDelta(reset))

/** `/v1/completions` has no role delta: there the head alone comes. */
function afterRoleDelta(ending: Step): Strike {
  return inStream(({ prelude }) => [streamHead(), ...prelude.map(chunk), gap, ending])
}

export const closeMidEvent = (): Fault => fault('closeMidEvent', late, midEvent(close))
export const resetMidEvent = (): Fault => fault('resetMidEvent', late, midEvent(reset))

/** The third token's event comes only half. */
function midEvent(ending: Step): Strike {
  return (request, worker) => {
    const third = worker.answerTo(request).tokens[2] ?? 'data: {"half'
    const half = chunk(third.slice(0, third.length >> 1))
    return request.stream
      ? cutAfter(2, half, gap, ending)(request, worker)
      : cutAfter(0, ending)(request, worker)
  }
}

export const closeMidStream = (tokens = 3): Fault => fault('closeMidStream', late, cutAfter(tokens, close))
export const resetMidStream = (tokens = 3): Fault => fault('resetMidStream', late, cutAfter(tokens, reset))
export const stallMidStream = (tokens = 3): Fault =>
  fault('stallMidStream', { ...late, hangs: true }, cutAfter(tokens, hang))
/** The framing ends as it should, the answer does not: no finish reason, no `[DONE]`. */
export const cleanEndWithoutDone = (tokens = 3): Fault =>
  fault(
    'cleanEndWithoutDone',
    afterContent,
    inStream((all) => [
      streamHead(),
      ...all.prelude.map(chunk),
      ...all.tokens.slice(0, tokens).map(chunk),
      lastChunk,
    ]),
  )
/** 200, `text/event-stream`, and not one event. */
export const cleanEndEmptyStream = (): Fault =>
  fault(
    'cleanEndEmptyStream',
    beforeContent,
    inStream(() => [streamHead(), lastChunk]),
  )
export const errorEventFirst = (): Fault =>
  fault(
    'errorEventFirst',
    beforeContent,
    inStream((_all, { path }) => [
      streamHead(),
      chunk(workerErrorEvent(path)),
      chunk('data: [DONE]\n\n'),
      lastChunk,
    ]),
  )
/** The worker itself says that it failed: framing and end mark are right. */
export const errorEventMidStream = (tokens = 2): Fault =>
  fault(
    'errorEventMidStream',
    afterContent,
    inStream((all, { path }) => {
      const events = [
        ...all.prelude,
        ...all.tokens.slice(0, tokens),
        workerErrorEvent(path),
        'data: [DONE]\n\n',
      ]
      return [streamHead(), ...events.map(chunk), lastChunk]
    }),
  )
/** An event whose blank line never comes; after `megabytes` the connection breaks. */
export const endlessEvent = (megabytes = 2): Fault =>
  fault('endlessEvent', { ...afterContent, cuts: true }, endless(0, megabytes))
export const endlessEventMidStream = (megabytes = 2): Fault =>
  fault('endlessEventMidStream', { ...afterContent, cuts: true }, endless(2, megabytes))

function endless(tokens: number, megabytes: number): Strike {
  return inStream(({ prelude, tokens: all }) => [
    streamHead(),
    ...[...prelude, ...all.slice(0, tokens)].map(chunk),
    // So that the reader has the content before it learns that the event after it has no end.
    ...(tokens > 0 ? [gap] : []),
    chunk('data: {"choices":[{"index":0,"delta":{"content":"'),
    repeat(chunk('x'.repeat(65_536)), megabytes * 16),
    reset,
  ])
}

/** Every event comes late (milliseconds), or a plain body in eight pieces. */
export const slowBody = (ms = 15): Fault =>
  fault('slowBody', harmless, (request, worker) => {
    if (request.stream) return whole(request, worker).flatMap((step) => [step, wait(ms)])
    const body = Buffer.from(worker.answerTo(request).json)
    const pieces = slices(body, () => 0, Math.ceil(body.length / 8))
    return [head(200, json(body.length)), ...pieces.flatMap((piece) => [wait(ms), piece]), completed]
  })
/** A right answer cut at random places: chunks do not end where events end, nor writes where chunks end. */
export const slicedStream = (seed = 1): Fault =>
  fault('slicedStream', harmless, (request, worker) => sliced(request, worker, seed))

function sliced(request: RecordedRequest, worker: Healthy, seed: number): Script {
  const random = seeded(seed)
  const { json: body, prelude, tokens, finish } = worker.answerTo(request)
  const text = Buffer.from(request.stream ? [...prelude, ...tokens, ...finish].join('') : body)
  const start = request.stream
    ? streamHead()
    : head(200, { 'content-type': 'application/json', 'transfer-encoding': 'chunked' })
  const wire = Buffer.concat([Buffer.from(start), ...slices(text, random).map(chunk), Buffer.from(lastChunk)])
  const pieces = slices(wire, random).flatMap((piece): Step[] =>
    random() < 0.1 ? [piece, wait(1)] : [piece],
  )
  return [...pieces, completed]
}

// Answers

/** A proper answer with that status. 503 and 429 may carry `retry-after` in `headers`. */
export const status = (code: number, body = workerErrorBody(code), headers: HeaderFields = {}): Fault =>
  fault(`status ${code}`, { ...early, answers: code }, () => answer(code, body, headers))
export const redirect = (location: string, code = 307): Fault =>
  fault(`redirect ${code}`, { ...early, answers: code }, () => answer(code, '', { location }))

/** One of each, with its defaults. */
export const allFaults: readonly Fault[] = [
  refuse(),
  acceptAndHang(),
  closeBeforeHead(),
  resetBeforeHead(),
  halfHead(),
  closeAfterHead(),
  resetAfterHead(),
  hangAfterHead(),
  garbageHead(),
  hugeHeader(),
  slowHead(),
  flood1xx(),
  contentLengthAndTransferEncoding(),
  wrongContentLength(),
  badChunk(),
  truncatedChunked(),
  closeAfterRoleDelta(),
  resetAfterRoleDelta(),
  closeMidEvent(),
  resetMidEvent(),
  closeMidStream(),
  resetMidStream(),
  stallMidStream(),
  cleanEndWithoutDone(),
  cleanEndEmptyStream(),
  errorEventFirst(),
  errorEventMidStream(),
  endlessEvent(),
  endlessEventMidStream(),
  slowBody(),
  slicedStream(),
  status(500),
  status(503, undefined, { 'retry-after': 1 }),
  status(429, undefined, { 'retry-after': 1 }),
  status(400),
  status(422),
  redirect('http://127.0.0.1:9/elsewhere'),
]

// Not part of the list: these need a kept-alive connection, or bodies that are still on their way.

/** The worker drops a kept-alive connection at the very moment the router uses it again. */
export const resetWhenReused = (): Fault =>
  fault('resetWhenReused', harmless, (request) => (request.reused ? [reset] : undefined))
export const closeWhenReused = (): Fault =>
  fault('closeWhenReused', harmless, (request) => (request.reused ? [close] : undefined))
/** Everything came, `[DONE]` included, only the last chunk is missing: success for every reader of the events. */
export const closeAfterDone = (): Fault =>
  fault(
    'closeAfterDone',
    harmless,
    inStream(({ prelude, tokens, finish }) => [
      streamHead(),
      ...[...prelude, ...tokens, ...finish].map(chunk),
      gap,
      close,
    ]),
  )
