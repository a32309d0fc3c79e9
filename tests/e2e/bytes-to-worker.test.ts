/** What a client sends is what the worker receives, byte for byte, whatever its spelling. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import type { RawRequestOptions } from '../support/raw-client.ts'
import { routerOver } from '../support/router-over.ts'
import { startScriptedWorker } from '../support/scripted-worker.ts'
import { sendAll } from '../support/send-all.ts'
import { shared } from '../support/shared.ts'
import { type Chunking, chunking, jsonBodyBytes } from '../support/sse.ts'
import { answer, chunk, lastChunk } from '../support/wire.ts'

const timeout = 60_000
const connections = 8

const setup = shared(async (t) => {
  const worker = await startScriptedWorker(answer(200, '{}'), { t })
  const router = await routerOver([worker], { t, args: ['--log-level', 'info'] })
  return { worker, router }
})

interface Case {
  readonly path: string
  readonly type: string
  readonly body: Buffer
  /** Sent in chunks of these sizes; undefined: with its length. */
  readonly chunks: Chunking | undefined
}

const message = (content: string): string => `[{"role":"user","content":${JSON.stringify(content)}}]`
const jsonFields: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  '/v1/chat/completions': {
    model: '"test-model"',
    messages: message('hi'),
    temperature: '0.70',
    max_tokens: '1e1',
  },
  '/v1/completions': { model: '"test-model"', prompt: '"\\u0048\\uD83D\\ude42"', top_p: '1.0', n: '1' },
  '/v1/embeddings': { model: '"test-model"', input: '["a",  "b"]' },
  '/v1/responses': { model: '"test-model"', input: '"hi"', stream: 'false' },
  '/v1/messages': { model: '"test-model"', messages: message('hi'), max_tokens: '10' },
  '/tokenize': { model: '"test-model"', prompt: '"hi"' },
  '/v1/rerank': { model: '"test-model"', query: '"q"', documents: '["d"]' },
}

const json = fc.constantFrom(...Object.keys(jsonFields)).chain((path) =>
  fc.record({
    path: fc.constant(path),
    type: fc.constantFrom('application/json', 'application/json; charset=utf-8', 'Application/JSON'),
    body: jsonBodyBytes({ fields: jsonFields[path] ?? {} }),
  }),
)

/** Binary files with every byte, boundaries and look-alikes of fields within them. */
const multipart = fc
  .record({
    boundary: fc.stringMatching(/^[A-Za-z0-9'()+_,./:=?-]{1,40}$/),
    file: fc.uint8Array({ maxLength: 3000 }),
    decoy: fc.constantFrom('', '\r\n--', 'name="model"', '\r\n\r\n'),
    path: fc.constantFrom('/v1/audio/transcriptions', '/v1/audio/translations'),
  })
  .map(({ boundary, file, decoy, path }) => {
    const part = (headers: string): string =>
      `--${boundary}\r\nContent-Disposition: form-data; ${headers}\r\n\r\n`
    const body = Buffer.concat([
      Buffer.from(`${part('name="model"')}test-model\r\n${part('name="file"; filename="ä.wav"')}`),
      file,
      Buffer.from(`${decoy}\r\n--${boundary}--\r\n`),
    ])
    return { path, type: `multipart/form-data; boundary="${boundary}"`, body }
  })

const anything = fc.record({
  path: fc.constant('/some/other/route'),
  type: fc.constantFrom('application/octet-stream', 'text/plain', 'application/x-www-form-urlencoded'),
  body: fc.uint8Array({ maxLength: 2000 }).map((bytes) => Buffer.from(bytes)),
})

const anyCase: fc.Arbitrary<Case> = fc
  .oneof({ weight: 7, arbitrary: json }, { weight: 2, arbitrary: multipart }, anything)
  .chain((one) =>
    fc.option(chunking(), { freq: 3 }).map((chunks) => ({ ...one, chunks: chunks ?? undefined })),
  )

function requestOf({ path, type, body, chunks }: Case, id: string): RawRequestOptions {
  const headers = { 'content-type': type, 'x-case': id }
  if (chunks === undefined) return { method: 'POST', path, headers, body }
  const framed = Buffer.concat([...chunks(body).map(chunk), Buffer.from(lastChunk)])
  return { method: 'POST', path, headers: { ...headers, 'transfer-encoding': 'chunked' }, body: framed }
}

/** Sends them all and compares each with what the worker has got under the same number. */
async function assertSame(
  cases: readonly Case[],
  target: (index: number) => string = () => '',
): Promise<void> {
  const { worker, router } = await setup()
  const first = worker.requests.length
  const requests = cases.map((one, index) =>
    requestOf({ ...one, path: `${one.path}${target(index)}` }, String(first + index)),
  )
  const answers = await sendAll(requests, { port: router.apiPort, connections })
  for (const { head, body } of answers) assert.equal(head.status, 200, body.bytes.toString())
  const received = new Map(worker.requests.slice(first).map((request) => [request.header('x-case'), request]))
  for (const [index, { path, type, body }] of cases.entries()) {
    const got = received.get(String(first + index))
    assert.ok(got !== undefined)
    assert.equal(got.target, `${path}${target(index)}`)
    assert.equal(got.header('content-type'), type)
    if (!got.body.equals(body)) assert.equal(excerpt(got.body), excerpt(body), `${path}: not the same bytes`)
  }
}

const excerpt = (bytes: Buffer): string => `${bytes.length} bytes: ${bytes.toString('latin1').slice(0, 2000)}`

describe('the worker receives', () => {
  test('the very bytes of 1,000 random bodies', { timeout }, async () => {
    const batch = fc.array(anyCase, { minLength: 50, maxLength: 50 })
    await fc.assert(
      fc.asyncProperty(batch, (cases) => assertSame(cases)),
      { numRuns: 20, endOnFailure: true },
    )
  })

  test('the very bytes of prompts of a megabyte', { timeout }, async () => {
    const texts = ['x'.repeat(1_000_000), 'ä🙂数'.repeat(120_000), '\\u00e4\\n"'.repeat(100_000)]
    const cases = texts.flatMap((text): Case[] => {
      const body = Buffer.from(`{ "model" :"test-model","messages":${message(text)} , "extra":1.0}`)
      const one = { path: '/v1/chat/completions', type: 'application/json', body }
      return [
        { ...one, chunks: undefined },
        { ...one, chunks: (bytes) => [bytes.subarray(0, 70_001), bytes.subarray(70_001)] },
      ]
    })
    await assertSame(cases)
  })

  test('query strings as they were written', { timeout }, async () => {
    // RFC 3986, section 3.4: the characters that a query may hold, some that many send all the same, and escapes of all.
    // Only the apostrophe is left out: the URL parsers of both runtimes spell it %27 (WHATWG URL, special-query set).
    const character = fc.oneof(
      { weight: 3, arbitrary: fc.constantFrom(...'abcXYZ0189-._~!$&()*+,;=:@/?[]{}|^`') },
      fc.integer({ min: 0, max: 255 }).map((code) => `%${code.toString(16).padStart(2, '0')}`),
      fc.constantFrom('%2F', '%2f', '%20', '%00', '%C3%A4', '..', '//', '&&', '=='),
    )
    const query = fc.array(character, { maxLength: 30 }).map((parts) => `?${parts.join('')}`)
    const one: Case = {
      path: '/v1/completions',
      type: 'application/json',
      body: Buffer.from('{"model":"test-model","prompt":"hi"}'),
      chunks: undefined,
    }
    const batch = fc.array(query, { minLength: 50, maxLength: 50 })
    await fc.assert(
      fc.asyncProperty(batch, (queries) =>
        assertSame(
          queries.map(() => one),
          (index) => queries[index] ?? '',
        ),
      ),
      { numRuns: 10, endOnFailure: true },
    )
  })
})
