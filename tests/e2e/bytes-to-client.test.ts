/** What a worker sends is what the client receives, byte for byte, however it was cut on the way. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { answerFor } from '../support/answers.ts'
import { routerOver } from '../support/router-over.ts'
import { startScriptedWorker } from '../support/scripted-worker.ts'
import { sendAll } from '../support/send-all.ts'
import { shared } from '../support/shared.ts'
import { type Chunking, chunking, sseStream } from '../support/sse.ts'
import { chunk, close, completed, head, lastChunk, type Script, streamHead } from '../support/wire.ts'

const timeout = 60_000
const connections = 8

interface Sent {
  readonly path: string
  readonly status: number
  readonly type: string
  readonly bytes: Buffer
  readonly script: Script
}

/** What the worker answers, by the request's `x-case`. */
const cases = new Map<string, Sent>()

const setup = shared(async (t) => {
  const worker = await startScriptedWorker((request) => cases.get(request.header('x-case') ?? '')?.script, {
    t,
  })
  return { router: await routerOver([worker], { t }) }
})

const bodies: Readonly<Record<string, object>> = {
  '/v1/chat/completions': { model: 'test-model', messages: [{ role: 'user', content: 'hi' }], stream: true },
  '/v1/completions': { model: 'test-model', prompt: 'hi', stream: true },
  '/v1/messages': {
    model: 'test-model',
    messages: [{ role: 'user', content: 'hi' }],
    max_tokens: 9,
    stream: true,
  },
  '/v1/responses': { model: 'test-model', input: 'hi', stream: true },
}

/** In chunks of HTTP that were cut one way, within writes that were cut another way. */
function stream(path: string, bytes: Buffer, chunks: Chunking, writes: Chunking): Sent {
  const framed = Buffer.concat([...chunks(bytes).map(chunk), Buffer.from(lastChunk)])
  const script = [streamHead(), ...writes(framed), completed]
  return { path, status: 200, type: 'text/event-stream; charset=utf-8', bytes, script }
}

/** Writes of a fair size: each one is a round through the event loop. */
const writing = fc.array(fc.integer({ min: 20, max: 2000 }), { minLength: 1, maxLength: 20 }).map(
  (sizes): Chunking =>
    (bytes) => {
      const pieces: Uint8Array[] = []
      for (let start = 0, index = 0; start < bytes.length; index++) {
        const size = sizes[index % sizes.length] ?? 1
        pieces.push(bytes.subarray(start, start + size))
        start += size
      }
      return pieces
    },
)

const oddStream = fc
  .tuple(fc.constantFrom('/v1/chat/completions', '/v1/completions'), sseStream(), chunking(), writing)
  .map(([path, { bytes }, chunks, writes]) => stream(path, bytes, chunks, writes))

const vllmStream = fc
  .tuple(fc.constantFrom(...Object.keys(bodies)), fc.nat({ max: 60 }), fc.boolean(), chunking(), writing)
  .map(([path, tokens, usage, chunks, writes]) => {
    const whole = answerFor(path, { model: 'test-model', id: 'id', tokens: tokens + 1, usage })
    const bytes = Buffer.from([...whole.prelude, ...whole.tokens, ...whole.finish].join(''))
    return stream(path, bytes, chunks, writes)
  })

const plainBody = fc.oneof(
  { weight: 5, arbitrary: fc.uint8Array({ maxLength: 5000 }) },
  {
    weight: 2,
    arbitrary: fc.string({ unit: 'grapheme' }).map((text) => Buffer.from(JSON.stringify({ text }))),
  },
  // Beyond what is held back for another attempt.
  {
    weight: 1,
    arbitrary: fc.constantFrom(1_048_576, 1_048_577, 1_500_000).map((size) => Buffer.alloc(size, 'aä\n')),
  },
)

const plainAnswer = fc
  .record({
    path: fc.constantFrom(...Object.keys(bodies)),
    status: fc.constantFrom(200, 200, 200, 201, 400, 404, 422),
    type: fc.constantFrom(
      'application/json',
      'text/plain; charset=utf-8',
      'audio/wav',
      'application/x-ndjson',
    ),
    bytes: plainBody.map((bytes) => Buffer.from(bytes)),
    framing: fc.constantFrom('length', 'chunked', 'until-close'),
    chunks: chunking(),
    writes: writing,
  })
  .map(({ framing, chunks, writes, ...sent }): Sent => {
    const { status, type, bytes } = sent
    const fields = { 'content-type': type }
    const cut = bytes.length > 10_000 ? (all: Uint8Array) => [all] : writes
    switch (framing) {
      case 'length':
        return {
          ...sent,
          script: [head(status, { ...fields, 'content-length': bytes.length }), ...cut(bytes), completed],
        }
      case 'chunked': {
        const framed = Buffer.concat([
          ...(bytes.length > 10_000 ? [bytes] : chunks(bytes)).map(chunk),
          Buffer.from(lastChunk),
        ])
        return {
          ...sent,
          script: [head(status, { ...fields, 'transfer-encoding': 'chunked' }), ...cut(framed), completed],
        }
      }
      default:
        return {
          ...sent,
          script: [head(status, { ...fields, connection: 'close' }), ...cut(bytes), completed, close],
        }
    }
  })

async function assertSame(batch: readonly Sent[]): Promise<void> {
  const { router } = await setup()
  for (const [index, sent] of batch.entries()) cases.set(String(index), sent)
  const requests = batch.map(({ path }, index) => ({
    path,
    headers: { 'x-case': String(index) },
    json: bodies[path],
  }))
  const answers = await sendAll(requests, { port: router.apiPort, connections })
  for (const [index, { path, status, type, bytes }] of batch.entries()) {
    const got = answers[index]
    assert.ok(got !== undefined)
    assert.equal(got.head.status, status)
    assert.equal(got.head.header('content-type'), type)
    assert.ok(got.body.complete, got.body.fault)
    if (!got.body.bytes.equals(bytes))
      assert.equal(excerpt(got.body.bytes), excerpt(bytes), `${path}: not the same bytes`)
  }
}

const excerpt = (bytes: Buffer): string => `${bytes.length} bytes: ${bytes.toString('latin1').slice(0, 3000)}`

function assertBatches(one: fc.Arbitrary<Sent>, numRuns: number): Promise<void> {
  const batch = fc.array(one, { minLength: 50, maxLength: 50 })
  return fc.assert(fc.asyncProperty(batch, assertSame), { numRuns, endOnFailure: true })
}

describe('the client receives', () => {
  test('the very bytes of 500 streams, in any spelling that servers may use', { timeout }, () =>
    assertBatches(oddStream, 10),
  )

  test(
    'the very bytes of 300 streams as vLLM writes them, on every route that has streams',
    { timeout },
    () => assertBatches(vllmStream, 6),
  )

  test('the very bytes of 300 plain bodies, however they are framed', { timeout }, () =>
    assertBatches(plainAnswer, 6),
  )
})
