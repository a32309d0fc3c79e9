/** The simulated server ends as vLLM does when it is told to: what runs, it finishes; what comes, it refuses. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { apiRequest } from '../support/api-bodies.ts'
import { eventually, within } from '../support/deadline.ts'
import { openConnection, rawRequest } from '../support/raw-client.ts'
import { startSim } from '../support/sim-process.ts'

const model = 'facebook/opt-350m'

test('with --graceful, SIGTERM lets streams and plain answers end, and new connections are refused', {
  timeout: 30_000,
}, async (t) => {
  const { port, ...sim } = await startSim({ t, args: ['--graceful', '--ttft-ms', '200', '--token-ms', '20'] })
  const fields = { max_tokens: 30 }
  const stream = rawRequest({ port, ...apiRequest({ model, stream: true, fields }) })
  await within(5000, stream.firstEvents(2), 'a stream')
  const plain = rawRequest({ port, ...apiRequest({ model, fields }) })
  const idle = openConnection({ port })
  await within(5000, idle.request({ path: '/health' }).text(), 'an answer on a connection that stays open')
  const exit = sim.kill('SIGTERM')

  const { how } = await within(1000, idle.closed, 'the end of the idle connection')
  assert.equal(how, 'fin')
  const refused = () =>
    openConnection({ port }).opened.then(
      () => false,
      () => true,
    )
  await eventually(refused, { what: 'a refused connection', withinMs: 1000 })
  assert.match((await within(5000, stream.text(), 'the stream')).text, /\[DONE\]\n\n$/)
  const { status, text } = await within(5000, plain.text(), 'the plain answer')
  assert.equal(status, 200)
  assert.equal(JSON.parse(text).usage.completion_tokens, 30)
  assert.equal((await within(5000, exit, 'the end')).code, 0)
})
