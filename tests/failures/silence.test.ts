/** What ends the silence of a stream: events, and for a while the progress of its engine; comments never. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { apiRequest } from '../support/api-bodies.ts'
import { within } from '../support/deadline.ts'
import { rawRequest } from '../support/raw-client.ts'
import { routerOver } from '../support/router-over.ts'
import { startScriptedWorker } from '../support/scripted-worker.ts'
import { chunk, hang, lastChunk, repeat, type Script, streamHead, wait } from '../support/wire.ts'

const timeout = 30_000
const token = 'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
const finish = ['data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n', 'data: [DONE]\n\n']
const ping = ': keep-alive\n\n'

/** Pings four times a second, `times` of them. */
const pings = (times: number): Script => Array.from({ length: times }, () => [chunk(ping), wait(250)]).flat()
const counters = (count: number) =>
  `# TYPE vllm:generation_tokens_total counter\nvllm:generation_tokens_total{model_name="m"} ${count}\n`

interface Run {
  readonly script: Script
  readonly metrics?: () => string
}

/** A stream with an idle limit of one second: its text, and seconds until it ended. */
async function run(t: Parameters<typeof routerOver>[1]['t'], { script, metrics }: Run) {
  const worker = await startScriptedWorker(script, { ...(metrics && { metrics }), ...(t && { t }) })
  const router = await routerOver([worker], { ...(t && { t }), args: ['--stream-idle-timeout-secs', '1'] })
  const exchange = rawRequest({ port: router.apiPort, ...apiRequest({ stream: true }) })
  const { text } = await within(15_000, exchange.text(), 'an end')
  return { text, seconds: ((exchange.endedAt ?? Number.NaN) - exchange.sentAt) / 1000, router }
}

describe('a stream that falls silent', () => {
  test('is ended at the idle limit although comments go on', { timeout }, async (t) => {
    const { text, seconds } = await run(t, { script: [streamHead(), chunk(token), ...pings(40)] })
    assert.match(text, /stream_idle_timeout/)
    assert.ok(seconds >= 0.95 && seconds < 3, `${seconds} s`)
  })

  test('is ended at the idle limit when the counters of its engine stand still', { timeout }, async (t) => {
    const { text, seconds } = await run(t, {
      script: [streamHead(), chunk(token), hang],
      metrics: () => counters(7),
    })
    assert.match(text, /stream_idle_timeout/)
    assert.ok(seconds < 3, `${seconds} s`)
  })

  test('goes on while the counters move, as with a tool parser that holds everything back', {
    timeout,
  }, async (t) => {
    let count = 0
    const script = [streamHead(), chunk(token), wait(2500), ...finish.map(chunk), lastChunk]
    const { text, router } = await run(t, { script, metrics: () => counters(count++) })
    assert.ok(text.endsWith('data: [DONE]\n\n'), text)
    assert.equal(await router.metric('vllm_router_cb_outcomes_total', { outcome: 'failure' }), 0)
  })

  test('does not for ever: five times the limit, and then nobody is blamed', { timeout }, async (t) => {
    let count = 0
    const script = [streamHead(), chunk(token), hang]
    const { text, seconds, router } = await run(t, { script, metrics: () => counters(count++) })
    assert.match(text, /stream_idle_timeout/)
    assert.ok(seconds >= 4.9 && seconds < 9, `${seconds} s`)
    assert.equal(await router.metric('vllm_router_cb_outcomes_total', { outcome: 'failure' }), 0)
  })
})

test('all has come and the worker leaves its answer open: the client has its end', { timeout }, async (t) => {
  const { text, seconds } = await run(t, { script: [streamHead(), ...[token, ...finish].map(chunk), hang] })
  assert.ok(text.endsWith('data: [DONE]\n\n'), text)
  assert.ok(seconds < 4, `${seconds} s`)
})

test('an event of four megabytes passes in pieces, and the stream goes on behind it', {
  timeout,
}, async (t) => {
  const piece = 'x'.repeat(65_536)
  const script = [
    streamHead(),
    chunk('data: {"choices":[{"index":0,"delta":{"content":"'),
    repeat(chunk(piece), 64),
    chunk('"}}]}\n\n'),
    ...finish.map(chunk),
    lastChunk,
  ]
  const { text } = await run(t, { script })
  assert.equal(
    text.length,
    'data: {"choices":[{"index":0,"delta":{"content":""}}]}\n\n'.length +
      64 * 65_536 +
      finish.join('').length,
  )
})
