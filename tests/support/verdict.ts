/** What a client of the router got, held against what a healthy worker sends: whole, told as an error, or a lie. */

import assert from 'node:assert/strict'
import { type Answer, answerFor } from './answers.ts'
import type { Api } from './api-bodies.ts'
import type { RawBody, RawHead } from './raw-client.ts'
import { parseSse } from './sse-parser.ts'

export interface Delivery {
  readonly api: Api
  readonly model: string
  readonly stream: boolean
  /** The `x-request-id`: the healthy answer carries it. */
  readonly id: string
  readonly head: RawHead
  readonly body: RawBody
}

export type Verdict =
  /** Every byte of the healthy answer, none twice, no other. */
  | { readonly kind: 'whole' }
  /** An error status with an error body; `code` is the router's word, or the number that the worker gave. */
  | { readonly kind: 'error status'; readonly status: number; readonly code: string | number }
  /** Whole events with content, and then one error event, which is the last. `code` is missing where the worker spoke. */
  | { readonly kind: 'error event'; readonly code: string | undefined }
  /** The connection broke within an event: no success, and no way to say so. */
  | { readonly kind: 'cut' }
  /** A stream of the worker's own error and no content: the last worker's answer, when all attempts have failed. */
  | { readonly kind: 'error alone' }

/** Throws when it is none of these. */
export function verdictOf(delivery: Delivery): Verdict {
  const { api, model, stream, id, head, body } = delivery
  const text = body.bytes.toString()
  if (body.fault !== undefined && stream && !text.endsWith('\n\n')) return { kind: 'cut' }
  assert.equal(body.fault, undefined, 'the end of the body')
  if (head.status !== 200) {
    const { error } = JSON.parse(text)
    assert.ok(head.status >= 400 && typeof error.message === 'string', `status ${head.status}: ${text}`)
    return { kind: 'error status', status: head.status, code: error.code }
  }
  const healthy = answerFor(api.path, { model, id, tokens: 5, usage: false })
  assert.ok(healthy)
  if (text === (stream ? eventsOf(healthy).join('') : healthy.json)) return { kind: 'whole' }
  assert.ok(stream, `neither whole nor an error: ${text}`)
  return streamWithError(api, healthy, text)
}

function eventsOf({ prelude, tokens, finish }: Answer): readonly string[] {
  return [...prelude, ...tokens, ...finish]
}

function streamWithError(api: Api, healthy: Answer, text: string): Verdict {
  assert.ok(text.endsWith('\n\n'), `the last event is whole: ${text.slice(-200)}`)
  const events = eventsOf(healthy)
  const pieces = text.split(/(?<=\n\n)/)
  let count = 0
  while (pieces[count] !== undefined && pieces[count] === events[count]) count++
  const hasContent = count > healthy.prelude.length
  const [error = '', ...rest] = pieces.slice(count)
  const [event] = parseSse(error)
  const data = JSON.parse(event?.data ?? '')
  assert.equal(typeof data.error.message, 'string', `an error event: ${error}`)
  if (typeof data.error.code !== 'string') {
    // What the worker says itself is passed on as it is, vLLM's mark after its own error included.
    assert.ok(rest.length === 0 || (rest.length === 1 && rest[0] === 'data: [DONE]\n\n'), `after it: ${rest}`)
    return hasContent ? { kind: 'error event', code: undefined } : { kind: 'error alone' }
  }
  assert.ok(hasContent, `content before the error: ${text}`)
  assert.deepEqual(rest, [], 'after the error')
  if (api.dialect === 'openai') assert.deepEqual(Object.keys(data), ['error'])
  if (api.dialect === 'anthropic') assert.deepEqual([event?.event, data.type], ['error', 'error'])
  if (api.dialect === 'responses') {
    assert.deepEqual([event?.event, data.type], ['response.failed', 'response.failed'])
    assert.equal(data.response.error.code, data.error.code)
  }
  return { kind: 'error event', code: data.error.code }
}
