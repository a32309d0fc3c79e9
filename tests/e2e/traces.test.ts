/** What a tracing system gets of requests, and what the workers get of their traces. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { eventuallyHolds, within } from '../support/deadline.ts'
import { holdStreams } from '../support/held-stream.ts'
import { trusting } from '../support/listener-tls.ts'
import type { ReceivedSpan } from '../support/otlp-receiver.ts'
import { rawRequest } from '../support/raw-client.ts'
import { inTurn } from '../support/scripted-worker.ts'
import { listenerA } from '../support/secure-router.ts'
import { chat, chatPath, startTraced } from '../support/traced-router.ts'
import { answer, chunk, reset, streamHead, until } from '../support/wire.ts'

const timeout = 30_000
const traceId = '0af7651916cd43dd8448eb211c80319c'
const clientSpan = 'b7ad6b7169203331'
const sampled = `00-${traceId}-${clientSpan}-01`
const streamed = { ...chat, stream: true, stream_options: { include_usage: true } }

const names = (span: ReceivedSpan | undefined) => span?.events.map(({ name }) => name)

/** A child lies within its parent; both were made by the same clock. */
function assertWithin(child: ReceivedSpan, parent: ReceivedSpan): void {
  assert.equal(child.traceId, parent.traceId)
  assert.equal(child.parentSpanId, parent.spanId)
  assert.ok(parent.start <= child.start && child.start <= child.end && child.end <= parent.end)
}

function assertInOrder({ start, end, events }: ReceivedSpan): void {
  const times = [start, ...events.map(({ at }) => at), end]
  assert.deepEqual(
    times,
    times.toSorted((a, b) => a - b),
  )
}

describe('the trace of a request', () => {
  test('has one span of the request and one of its attempt, which the worker continues', {
    timeout,
  }, async (t) => {
    const { ask, receiver, workers } = await startTraced(t)
    const before = Date.now()
    const { status } = await ask({ headers: { 'x-request-id': 'id-1' } })
    const after = Date.now()
    assert.equal(status, 200)
    const [request, attempt] = await receiver.first(2).then((all) => all.toSorted((a, b) => a.kind - b.kind))
    assert.ok(request && attempt)
    assert.deepEqual(
      [request.name, request.kind, request.status, request.parentSpanId],
      [`POST ${chatPath}`, 2, 0, ''],
    )
    assert.deepEqual([attempt.name, attempt.kind, attempt.status], ['attempt', 3, 0])
    assertWithin(attempt, request)
    assert.ok(request.start >= before - 2 && request.end <= after + 2, 'by the time of day')
    assert.deepEqual(names(request), ['admitted', 'selected', 'first_byte', 'commit', 'last_byte'])
    assert.deepEqual(names(attempt), ['first_byte'])
    assertInOrder(request)
    assertInOrder(attempt)
    const worker = workers[0]!
    assert.equal(
      worker.requests[0]?.header('traceparent'),
      `00-${request.traceId}-${attempt.spanId}-01`,
      'the worker continues the attempt',
    )
    const { attributes } = request
    assert.equal(attributes['http.request.method'], 'POST')
    assert.equal(attributes['http.route'], chatPath)
    assert.equal(attributes['url.scheme'], 'http')
    assert.equal(attributes['http.response.status_code'], 200)
    assert.equal(attributes['vllm_router.request_id'], 'id-1')
    assert.equal(attributes['vllm_router.end_reason'], 'completed')
    assert.equal(attributes['gen_ai.operation.name'], 'chat')
    assert.equal(attributes['gen_ai.request.model'], 'test-model')
    assert.equal(attributes['gen_ai.usage.output_tokens'], 5)
    assert.equal(attributes['error.type'], undefined)
    assert.equal(attempt.attributes['server.port'], worker.port)
    assert.equal(attempt.attributes['url.full'], `${worker.url}${chatPath}`)
    assert.equal(attempt.attributes['vllm_router.worker'], worker.url)
    assert.equal(attempt.attributes['vllm_router.outcome'], 'completed')
    assert.equal(attempt.attributes['http.response.status_code'], 200)
    assert.equal(request.resource['service.name'], 'vllm-router')
    assert.equal(request.resource['telemetry.sdk.name'], 'opentelemetry')
  })

  test('says that the client asked over https', { timeout }, async (t) => {
    const { port, receiver } = await startTraced(t, listenerA)
    const exchange = rawRequest({ port, tls: trusting, path: chatPath, json: chat })
    assert.equal((await within(10_000, exchange.text(), 'an answer')).status, 200)
    const spans = await receiver.first(2)
    const schemes = spans.toSorted((a, b) => a.kind - b.kind).map((span) => span.attributes['url.scheme'])
    assert.deepEqual(schemes, ['https', 'http'])
  })

  test('is part of the trace that the client has begun', { timeout }, async (t) => {
    const { ask, receiver, workers } = await startTraced(t, { otelSamplingRatio: 0 })
    await ask({ headers: { traceparent: sampled, tracestate: 'vendor=1,other=2' } })
    const [request, attempt] = await receiver.trace(traceId, 2)
    assert.equal(request?.parentSpanId, clientSpan)
    assert.equal(request?.traceState, 'vendor=1,other=2')
    const sent = workers[0]?.requests[0]
    assert.equal(sent?.header('traceparent'), `00-${traceId}-${attempt?.spanId}-01`)
    assert.equal(sent?.header('tracestate'), 'vendor=1,other=2')
    const fields = sent?.headers.filter(([name]) => /^trace(parent|state)$/i.test(name))
    assert.equal(fields?.length, 2, 'each once')
  })

  test('of a stream that another worker has taken over shows both attempts', { timeout }, async (t) => {
    const { open, receiver, workers } = await startTraced(t, {}, 2)
    // As vLLM does before its prefill.
    const turns = inTurn([streamHead(), reset], undefined)
    for (const worker of workers) worker.use(turns)
    const exchange = open({ json: streamed, headers: { traceparent: sampled } })
    const { status, text } = await within(10_000, exchange.text(), 'the stream')
    assert.equal(status, 200)
    assert.match(text, /\[DONE\]/)
    const [request, first, second] = await receiver.trace(traceId, 3)
    assert.ok(request && first && second)
    assert.equal(request.status, 0)
    assert.equal(request.attributes['vllm_router.attempts'], 2)
    for (const attempt of [first, second]) assertWithin(attempt, request)
    assert.ok(first.end <= second.start)
    assert.deepEqual([first.status, first.attributes['error.type']], [2, 'connection_lost'])
    assert.equal(first.attributes['http.response.status_code'], 200)
    assert.equal(first.attributes['http.request.resend_count'], undefined)
    assert.deepEqual([second.status, second.attributes['vllm_router.outcome']], [0, 'completed'])
    assert.equal(second.attributes['http.request.resend_count'], 1)
    assert.notEqual(first.attributes['vllm_router.worker'], second.attributes['vllm_router.worker'])
    for (const attempt of [first, second]) {
      const worker = workers.find(({ url }) => url === attempt.attributes['vllm_router.worker'])
      assert.equal(worker?.requests[0]?.header('traceparent'), `00-${traceId}-${attempt.spanId}-01`)
    }
    assert.deepEqual(names(request), [
      ...['admitted', 'selected', 'first_byte', 'commit', 'first_token', 'last_byte'],
    ])
    assertInOrder(request)
    assert.ok(Number(request.attributes['gen_ai.response.time_to_first_chunk']) > 0)
    assert.equal(request.attributes['gen_ai.usage.output_tokens'], 5)
  })

  test('of a client that has left ends when it leaves, and is no error', { timeout }, async (t) => {
    const { open, receiver, workers } = await startTraced(t)
    holdStreams(workers[0]!, new Promise(() => {}))
    const exchange = open({ json: streamed, headers: { traceparent: sampled } })
    await within(5000, exchange.firstEvents(2), 'the first token')
    const seenAt = Date.now()
    exchange.abort()
    const [request, attempt] = await receiver.trace(traceId, 2)
    assert.ok(request && attempt)
    assert.equal(request.attributes['vllm_router.end_reason'], 'client_closed')
    assert.deepEqual([request.status, attempt.status], [0, 0])
    assert.equal(attempt.attributes['vllm_router.outcome'], 'client_closed')
    assert.deepEqual(names(request), ['admitted', 'selected', 'first_byte', 'commit', 'first_token'])
    assert.ok(request.end >= seenAt - 2, 'not with the head')
    assertWithin(attempt, request)
  })

  test('of a stream that breaks in the middle ends there, as an error', { timeout }, async (t) => {
    const { open, receiver, workers } = await startTraced(t)
    let breakOff = () => {}
    const broken = new Promise<void>((resolve) => {
      breakOff = resolve
    })
    const worker = workers[0]!
    worker.use((request) => {
      const { prelude, tokens } = worker.answerTo(request)
      const begin = [...prelude, tokens[0]!].map(chunk)
      return [streamHead(), ...begin, until(broken), reset]
    })
    const exchange = open({ json: streamed, headers: { traceparent: sampled } })
    await within(5000, exchange.firstEvents(2), 'the first token')
    const brokenAt = Date.now()
    breakOff()
    const { status, text } = await within(5000, exchange.text(), 'the end')
    assert.equal(status, 200)
    assert.match(text, /worker_lost/)
    const [request, attempt] = await receiver.trace(traceId, 2)
    assert.ok(request && attempt)
    assert.deepEqual([request.status, request.attributes['error.type']], [2, 'worker_lost'])
    assert.deepEqual([attempt.status, attempt.attributes['error.type']], [2, 'worker_lost'])
    assert.equal(request.attributes['http.response.status_code'], 200)
    assert.ok(request.end >= brokenAt - 2)
    assertWithin(attempt, request)
  })

  test("says the router's own errors, and a mistake of the client's is none", { timeout }, async (t) => {
    const { ask, receiver, workers } = await startTraced(t, { disableRetries: true })
    workers[0]?.use([reset])
    assert.equal((await ask({ headers: { traceparent: sampled } })).status, 502)
    const [request, attempt] = await receiver.trace(traceId, 2)
    assert.equal(request?.status, 2)
    assert.equal(request?.attributes['http.response.status_code'], 502)
    assert.ok(request && attempt)
    assertWithin(attempt, request)
    const other = traceId.replace('0af', '1af')
    const headers = { traceparent: sampled.replace(traceId, other) }
    assert.equal((await ask({ headers, json: { model: 5 } })).status, 400)
    const [refused, ...none] = await receiver.trace(other, 1)
    assert.deepEqual([refused?.status, refused?.attributes['error.type']], [0, 'invalid_request'])
    assert.deepEqual([names(refused), none], [[], []])
  })

  test("shows a worker's own answer that the client gets after all attempts", { timeout }, async (t) => {
    const { ask, receiver, workers } = await startTraced(t, { disableRetries: true })
    workers[0]?.use(answer(503, '{"error":{"message":"full"}}'))
    assert.equal((await ask({ headers: { traceparent: sampled } })).status, 503)
    const [request, attempt] = await receiver.trace(traceId, 2)
    assert.equal(attempt?.attributes['http.response.status_code'], 503)
    assert.deepEqual([attempt?.status, attempt?.attributes['vllm_router.outcome']], [2, 'busy'])
    assert.equal(request?.status, 2)
  })
})

describe('the trace of an unusual request', () => {
  test('shows who was asked in vain before the one that has it', { timeout }, async (t) => {
    const { ask, receiver, workers } = await startTraced(t, {}, 2)
    const missing = answer(404, '{"error":{"message":"no such response","type":"invalid_request_error"}}')
    const turns = inTurn(missing, answer(200, '{"id":"resp_elsewhere"}'))
    const path = '/v1/responses/resp_elsewhere'
    for (const worker of workers) worker.route(`GET ${path}`, turns)
    const { status } = await ask({ method: 'GET', path, json: undefined, headers: { traceparent: sampled } })
    assert.equal(status, 200)
    const [request, first, second] = await receiver.trace(traceId, 3)
    assert.ok(request && first && second)
    assert.equal(first.attributes['vllm_router.outcome'], 'elsewhere')
    assert.deepEqual([first.status, first.attributes['error.type']], [2, '404'])
    assert.equal(second.attributes['vllm_router.outcome'], 'completed')
    for (const attempt of [first, second]) assertWithin(attempt, request)
    assert.ok(first.end <= second.start)
    assert.equal(request.name, 'GET', 'a path of the client is no name')
  })

  test('has no commit where only comments have gone out before the first token', { timeout }, async (t) => {
    const { open, receiver, workers } = await startTraced(t, { holdCommentAfterSecs: 0.05 })
    const worker = workers[0]!
    let go = () => {}
    const held = new Promise<void>((resolve) => {
      go = resolve
    })
    worker.use((request) => [until(held), ...worker.healthy(request)])
    const exchange = open({ json: streamed, headers: { traceparent: sampled } })
    await within(5000, exchange.head, 'the head')
    go()
    assert.match((await within(5000, exchange.text(), 'the stream')).text, /\[DONE\]/)
    const [request] = await receiver.trace(traceId, 2)
    assert.deepEqual(names(request), ['admitted', 'selected', 'first_byte', 'first_token', 'last_byte'])
  })
})

describe('which requests are traced', () => {
  test('not those of a client that does not record: its fields pass unchanged', { timeout }, async (t) => {
    const { ask, receiver, workers, gateway } = await startTraced(t)
    const traceparent = `00-${traceId}-${clientSpan}-00`
    await ask({ headers: { traceparent, tracestate: 'vendor=1' } })
    const sent = workers[0]?.requests[0]
    assert.equal(sent?.header('traceparent'), traceparent)
    assert.equal(sent?.header('tracestate'), 'vendor=1')
    await ask()
    await gateway.stop({ settle: false })
    assert.equal(receiver.spans.length, 2, 'those of the other request')
    assert.ok(receiver.spans.every((span) => span.traceId !== traceId))
  })

  test('not those that are not sampled: the worker is told so', { timeout }, async (t) => {
    const { ask, receiver, workers, gateway } = await startTraced(t, { otelSamplingRatio: 0 })
    await ask()
    await ask({ headers: { traceparent: 'nonsense', tracestate: 'vendor=1' } })
    const sent = workers[0]!.requests
    const told = sent.map((request) => request.header('traceparent'))
    for (const one of told) assert.match(one ?? '', /^00-[\da-f]{32}-[\da-f]{16}-00$/)
    assert.notEqual(told[0], told[1])
    assert.equal(sent[1]?.header('tracestate'), undefined, 'of a trace that nobody understands')
    await gateway.stop({ settle: false })
    assert.deepEqual(receiver.posts, [])
  })

  test('as many as the share says, and another share is taken over while it runs', { timeout }, async (t) => {
    const { ask, receiver, gateway, options } = await startTraced(t, { otelSamplingRatio: 0.5 })
    for (let sent = 0; sent < 60; sent++) await ask()
    gateway.reconfigure({ ...options, otelSamplingRatio: 0 })
    for (let sent = 0; sent < 10; sent++) await ask()
    await gateway.stop({ settle: false })
    const requests = receiver.spans.filter(({ kind }) => kind === 2).length
    // Outside of this, one run in a hundred million.
    assert.ok(requests > 8 && requests < 52, `${requests} of 60`)
  })

  test('not probes', { timeout }, async (t) => {
    const { ask, receiver, gateway } = await startTraced(t)
    await ask({ method: 'GET', path: '/health', json: undefined })
    await gateway.stop({ settle: false })
    assert.deepEqual(receiver.posts, [])
  })
})

test('no prompt, no answer, no key and no query is in a trace; the log names the trace', {
  timeout,
}, async (t) => {
  const { ask, receiver, lines } = await startTraced(t, {
    routerApiKeys: ['canary-key'],
    apiKey: 'canary-worker',
  })
  const headers = { authorization: 'Bearer canary-key', traceparent: sampled, cookie: 'canary-cookie' }
  const json = { ...chat, messages: [{ role: 'user', content: 'canary-prompt' }], user: 'canary-user' }
  const { text } = await ask({ path: `${chatPath}?q=canary-query`, json, headers })
  await ask({ path: '/v1/canary?q=canary-query', json, headers: { ...headers, authorization: 'canary' } })
  await receiver.trace(traceId, 3)
  const said = receiver.bodies.join('\n')
  assert.doesNotMatch(said, /canary-/)
  const content = (JSON.parse(text) as { choices: [{ message: { content: string } }] }).choices[0].message
    .content
  assert.ok(content.length > 0 && !said.includes(content))
  await eventuallyHolds(
    () => assert.ok(lines.some((line) => line.msg === 'request' && line.trace_id === traceId)),
    { what: 'the line of the request' },
  )
})
