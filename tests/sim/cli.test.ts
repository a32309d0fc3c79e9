/** The simulated server from the command line: it says what it is, refuses wrong flags, and ends when told. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { startProgram } from '../support/child.ts'
import { within } from '../support/deadline.ts'
import { rawRequest } from '../support/raw-client.ts'
import { startSim } from '../support/sim-process.ts'

const messages = [{ role: 'user', content: 'hi' }]
const chat = '/v1/chat/completions'

describe('the command line', () => {
  test('starts one server that says it is simulated and ends at SIGTERM and SIGINT with code 0', async (t) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      const sim = await startSim({ t, args: ['--model', 'm1', '--model', 'm2', '--worker-id', 'w'] })
      assert.deepEqual(sim.lines(), [
        `simulated vLLM (not a real one) w serving m1, m2 on http://127.0.0.1:${sim.port}`,
      ])
      const stream = rawRequest({
        port: sim.port,
        path: chat,
        json: { messages, max_tokens: 100_000, stream: true },
      })
      await within(5000, stream.firstEvents(1), 'a stream')
      stream.pauseReading()
      const { code } = await within(5000, sim.kill(signal), `the end after ${signal}`)
      assert.equal(code, 0)
      assert.equal(sim.stderr(), '')
      stream.abort()
    }
  })

  test('starts a fleet, one line each', async (t) => {
    const program = startProgram({ file: 'sim/main.ts', args: ['--port', '0', '--fleet', '3'], t })
    const found = (line: string) => /worker-3 .* on (http:\S+)/.exec(line)?.[1]
    const url = await program.line(found, 'the third line', 20_000)
    assert.equal(program.lines().length, 3)
    assert.equal((await fetch(`${url}/health`)).headers.get('x-worker-id'), 'worker-3')
  })

  test('takes engine settings and faults', async (t) => {
    const args = ['--ttft-ms', '40', '--max-concurrent', '2', '--jitter', '0.1', '--no-prefix-cache']
    const { port } = await startSim({ t, args: [...args, '--api-key', 'k', '--fault', 'status:503'] })
    const headers = { authorization: 'Bearer k' }
    const ask = () =>
      within(5000, rawRequest({ port, path: chat, headers, json: { messages } }).text(), 'an answer')
    assert.equal((await ask()).status, 503)
    await rawRequest({ port, method: 'DELETE', path: '/sim/fault' }).text()
    const from = performance.now()
    assert.equal(JSON.parse((await ask()).text).usage.prompt_tokens_details, null)
    assert.ok(performance.now() - from >= 35)
    assert.equal((await rawRequest({ port, path: '/v1/models' }).text()).status, 401)
  })

  test('dies as a process by the fault die', async (t) => {
    const sim = await startSim({ t })
    const headers = { 'x-sim-fault': 'die:after-tokens:2' }
    const json = { messages, stream: true }
    const exchange = rawRequest({ port: sim.port, path: chat, headers, json })
    assert.equal((await within(5000, exchange.body, 'the end')).complete, false)
    assert.equal(exchange.events.length, 3)
    await sim.restart()
    assert.equal((await rawRequest({ port: sim.port, path: '/health' }).text()).status, 200)
  })

  test('refuses what it does not understand with exit code 2 and the reason', async (t) => {
    const taken = await startSim({ t })
    const cases: [string[], RegExp][] = [
      [['--port', 'eighty'], /--port: must be a whole number from 0 to 65535, got eighty/],
      [['--jitter', '2'], /--jitter: must be a number from 0 to 1, got 2/],
      [['--fleet', '0'], /--fleet: must be a whole number from 1/],
      [['--fault', 'explode'], /fault: unknown kind "explode"/],
      [['--tokens', '1'], /--tokens/],
      [['--port', String(taken.port)], /cannot listen on 127\.0\.0\.1:\d+: EADDRINUSE/],
    ]
    for (const [args, reason] of cases) {
      const program = startProgram({ file: 'sim/main.ts', args, t })
      const { code } = await within(20_000, program.exited, args.join(' '))
      assert.equal(code, 2, args.join(' '))
      assert.match(program.stderr(), reason)
      assert.equal(program.stderr().trimEnd().split('\n').length, 1, 'one line, no stack')
    }
  })

  test('explains itself', async (t) => {
    const program = startProgram({ file: 'sim/main.ts', args: ['--help'], t })
    const { code } = await within(20_000, program.exited, 'the end')
    assert.equal(code, 0)
    for (const flag of ['--port', '--model', '--ttft-ms', '--fault', '--fleet']) {
      assert.ok(
        program.lines().some((line) => line.includes(flag)),
        flag,
      )
    }
  })
})
