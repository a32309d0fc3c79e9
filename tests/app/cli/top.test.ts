/** What a person sees who has nothing but `top`: who is hung, who refuses, who is slow, whose requests fail and why. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Screen } from '../../../app/cli/live/terminal.ts'
import { operate } from '../../../app/cli/operate.ts'
import { type ConfigInput, createGateway } from '../../../app/index.ts'
import { eventually, within } from '../../support/deadline.ts'
import { status } from '../../support/faults.ts'
import { rawRequest } from '../../support/raw-client.ts'
import type { Scope } from '../../support/scope.ts'
import { type ScriptedWorker, startScriptedWorker } from '../../support/scripted-worker.ts'
import { answer, hang, wait } from '../../support/wire.ts'

const timeout = 30_000
const chat = { model: 'test-model', stream: true, messages: [{ role: 'user', content: 'Hi' }] }

async function fleetOf(t: Scope, count: number, options: ConfigInput = {}) {
  const workers = await Promise.all(
    Array.from({ length: count }, () => startScriptedWorker(undefined, { t })),
  )
  const gateway = await createGateway({
    ...{ port: 0, prometheusPort: 0, workerUrls: workers.map(({ url }) => url), retryMaxRetries: 1 },
    ...options,
  })
  t.after(() => gateway.close())
  const { api, operations } = await gateway.start()
  const ask = async (json: object = chat) => {
    const exchange = rawRequest({ port: Number(new URL(api).port), path: '/v1/chat/completions', json })
    return (await within(10_000, exchange.text(), 'an answer')).status
  }
  /** One frame, as it is printed where there is no terminal. */
  const frame = async () => {
    let out = ''
    const argv = ['--url', operations]
    const code = await operate({
      ...{ operation: 'top', argv, env: {}, err: () => {} },
      out: (text) => {
        out += text
      },
    })
    return { code, lines: out.split('\n') }
  }
  return { workers, gateway, ask, frame, operations }
}

/** The line of a worker, and the one below it. */
function about({ lines }: { lines: readonly string[] }, { url }: ScriptedWorker): string {
  const at = lines.findIndex((line) => line.includes(url.replace('http://', '')) && / \d+\.\d /.test(line))
  assert.ok(at >= 0, lines.join('\n'))
  return `${lines[at]}\n${lines[at + 1]}`
}

/** A terminal of so many characters whose keys a test presses. */
function fakeTerminal(columns = 80, rows = 24) {
  const seen = { lines: [] as readonly string[], closed: 0 }
  let press: (key: string) => void = () => {}
  const screen: Screen = {
    columns,
    rows,
    draw(lines) {
      seen.lines = lines
    },
    onKey(listener) {
      press = listener
    },
    onResize() {},
    close() {
      seen.closed += 1
    },
  }
  return { seen, press: (key: string) => press(key), terminal: { colour: false, open: () => screen } }
}

function live(t: Scope, operations: string, columns?: number, rows?: number) {
  const terminal = fakeTerminal(columns, rows)
  const argv = ['--url', operations]
  const ended = operate({
    ...{ operation: 'top', argv, env: {}, terminal: terminal.terminal },
    ...{ out: () => {}, err: () => {} },
  })
  t.after(async () => {
    terminal.press('q')
    await within(5000, ended, 'the end of top')
  })
  const text = () => terminal.seen.lines.join('\n')
  const shows = (pattern: RegExp, what: string) =>
    eventually(() => pattern.test(text()), { what: `${what}\n${text()}` })
  return { ...terminal, ended, text, shows }
}

describe('the drills', () => {
  test('which worker is hung: its line says so, and since when', { timeout }, async (t) => {
    const { workers, ask, frame, gateway } = await fleetOf(t, 3, {
      ...{ healthCheckIntervalSecs: 1, healthCheckTimeoutSecs: 1, healthFailureThreshold: 1 },
    })
    await ask()
    workers[1]!.route('GET /health', [hang])
    const { url } = workers[1]!
    await eventually(async () => (await gateway.control.worker(url)).health === 'unhealthy', {
      ...{ what: 'the probe has noticed', withinMs: 15_000 },
    })
    const shown = await frame()
    assert.match(about(shown, workers[1]!), / hung .*\n {6}no answer within 1 s/)
    assert.match(shown.lines[1]!, /^2 of 3 available/)
    for (const other of [0, 2]) assert.match(about(shown, workers[other]!), / healthy /)
    // What needs attention is on top.
    assert.ok(shown.lines[4]!.includes(url.replace('http://', '')), shown.lines.join('\n'))
  })

  test('which worker refuses: how often, and when it is asked again', { timeout }, async (t) => {
    const { workers, ask, frame } = await fleetOf(t, 2, { retryMaxRetries: 2 })
    workers[0]!.use(status(503, undefined, { 'retry-after': 40 }))
    for (let request = 0; request < 2; request++) assert.equal(await ask(), 200)
    const shown = await frame()
    assert.match(
      about(shown, workers[0]!),
      / busy .*\n {6}refused 1 of 1 in the last minute; asked again in \d\d s/,
    )
    assert.match(shown.lines[1]!, /1 min: 0 failed, 1 refused/)
  })

  test('which worker refuses is still said when its pause is over', { timeout }, async (t) => {
    const { workers, ask, frame } = await fleetOf(t, 2, { retryMaxRetries: 2 })
    workers[0]!.use(status(503))
    await eventually(
      async () => {
        assert.equal(await ask(), 200)
        return workers[0]!.requests.filter(({ path }) => path.includes('chat')).length >= 3
      },
      { what: 'three refusals', withinMs: 20_000 },
    )
    await eventually(async () => !/asked again in [1-9]/.test(about(await frame(), workers[0]!)), {
      what: 'the end of the pause',
      withinMs: 20_000,
    })
    assert.match(about(await frame(), workers[0]!), / busy .*\n {6}refused (\d) of \1 in the last minute/)
  })

  test('which worker is slow: its first tokens beside those of the others', { timeout }, async (t) => {
    const { workers, ask, frame } = await fleetOf(t, 3)
    const slow = workers[2]!
    slow.use((request) => [wait(1600), ...slow.healthy(request)])
    await Promise.all(Array.from({ length: 6 }, () => ask()))
    const shown = await frame()
    assert.match(about(shown, slow), / slow .*\n {6}first token p95 \d\.\d s, at the median worker \d+ ms/)
    assert.match(about(shown, workers[0]!), / healthy /)
  })

  test('which worker fails: how often, and how it failed last', { timeout }, async (t) => {
    const { workers, ask, frame } = await fleetOf(t, 2, { retryMaxRetries: 2, cbFailureThreshold: 3 })
    workers[0]!.use(status(500))
    for (let request = 0; request < 2; request++) await ask()
    assert.match(about(await frame(), workers[0]!), / failing .*\n {6}1 of 1 failed; last: .*500/)
    for (let request = 0; request < 6; request++) await ask()
    assert.match(about(await frame(), workers[0]!), / breaker open .*\n {6}.*; (trial in \d+ s|on trial now)/)
  })

  test("which client's requests fail, and why", { timeout }, async (t) => {
    const { ask, frame } = await fleetOf(t, 1)
    for (let request = 0; request < 3; request++) assert.equal(await ask({ ...chat, model: 'made-up' }), 404)
    const { lines } = await frame()
    const at = lines.findIndex((line) => line.startsWith('FAILED REQUESTS'))
    assert.match(lines[at + 1]!, /^ {2}\d\d:\d\d:\d\d 3 times +127\.0\.0\.1 +404 +model_not_found/)
    assert.match(lines[at + 2]!, /^ {6}no worker serves the model "made-up"/)
  })

  test('an answer of the worker that says no is told as such, with the worker', { timeout }, async (t) => {
    const { workers, ask, frame } = await fleetOf(t, 1)
    workers[0]!.use(answer(400, '{"error":{"message":"no","code":400}}'))
    await ask()
    const { lines } = await frame()
    const at = lines.findIndex((line) => line.startsWith('FAILED REQUESTS'))
    assert.match(lines[at + 1]!, / 400 +the worker's answer/)
    assert.ok(lines[at + 2]!.includes(workers[0]!.url.replace('http://', '')), lines[at + 2])
  })
})

describe('without a terminal', () => {
  test('tokens of the last minute are told, of streams with and without usage, and of plain answers', {
    timeout,
  }, async (t) => {
    const { ask, frame, gateway } = await fleetOf(t, 2)
    const kinds = [chat, { ...chat, stream: false }, { ...chat, stream_options: { include_usage: true } }]
    for (let turn = 0; turn < 24; turn++) assert.equal(await ask(kinds[turn % 3]), 200)
    const workers = await gateway.control.workers()
    const tokens = workers.map(({ recent }) => recent.completion_tokens)
    // Four of twelve are estimates, in which the last event counts as one.
    assert.deepEqual(tokens, [64, 64])
    assert.match((await frame()).lines[1]!, / {2}2 tokens\/s$/)
  })

  test('one frame is printed; exit code 1 when the router does not answer', { timeout }, async (t) => {
    const { frame, gateway } = await fleetOf(t, 1)
    assert.equal((await frame()).code, 0)
    await gateway.close()
    const { code, lines } = await frame()
    assert.equal(code, 1)
    assert.match(lines[2]!, /^NO ANSWER since \d\d:\d\d:\d\d \(\d+ s\): /)
  })
})

describe('on a terminal', () => {
  test('the frame fits 80 columns and 24 lines, however many workers are ill', { timeout }, async (t) => {
    const { workers, ask, operations } = await fleetOf(t, 20, { retryMaxRetries: 3 })
    for (const worker of workers) worker.use(status(500))
    for (let request = 0; request < 8; request++) await ask({ ...chat, model: `m${request}` })
    for (let request = 0; request < 8; request++) await ask()
    const { seen, shows } = live(t, operations)
    await shows(/\.\.\. \d+ below/, 'the workers that there is no room for')
    assert.equal(seen.lines.length, 24)
    for (const line of seen.lines) assert.ok(line.length <= 80, line)
    assert.match(seen.lines.join('\n'), /FAILED REQUESTS/)
  })

  test('keys select a worker, drain it and take it back; the selected one stays in sight', {
    timeout,
  }, async (t) => {
    const { workers, operations, gateway } = await fleetOf(t, 30)
    const { press, shows, text } = live(t, operations)
    await shows(/^> /m, 'the first worker is selected')
    for (let at = 0; at < 29; at++) press(at % 2 === 0 ? 'j' : 'down')
    await shows(/\.\.\. \d+ above/, 'the list has moved')
    const selected = /^> (\S+)/m.exec(text())?.[1]
    assert.equal(`http://${selected}`, workers[29]!.url)
    press('k')
    press('up')
    const wanted = `http://${/^> (\S+)/m.exec(text())?.[1]}`
    assert.equal(wanted, workers[27]!.url)
    press('d')
    await shows(/gets nothing new/, 'it drains')
    assert.equal((await gateway.control.worker(wanted)).draining, true)
    assert.match(text(), /^> \S+ +draining/m)
    press('u')
    await shows(/gets requests again/, 'it is back')
    assert.equal((await gateway.control.worker(wanted)).draining, false)
  })

  test('help is shown and goes with the next key', { timeout }, async (t) => {
    const { operations } = await fleetOf(t, 1)
    const { press, shows, seen } = live(t, operations)
    await shows(/healthy/, 'the worker')
    press('?')
    await shows(/d drains the selected worker/, 'help')
    assert.ok(seen.lines.length <= 24)
    press('x')
    await shows(/healthy/, 'the worker again')
  })

  test('a refused key is said, with the variable that sets it', { timeout }, async (t) => {
    const { operations } = await fleetOf(t, 1, { adminApiKey: 'root' })
    const { shows } = live(t, operations)
    await shows(/^REFUSED since .*401: [\s\S]*VLLM_ROUTER_ADMIN_API_KEY/m, 'the refusal')
  })

  test('a router that is away is said to be, and shown anew when it is back', { timeout }, async (t) => {
    const first = await fleetOf(t, 2)
    const port = Number(new URL(first.operations).port)
    const { shows, text, press, ended, seen } = live(t, first.operations)
    await shows(/2 of 2 available/, 'the fleet')
    await first.gateway.close()
    await shows(/^NO ANSWER since \d\d:\d\d:\d\d \(\d+ s\): /m, 'that nobody answers')
    // What is old stays in sight, with its time.
    assert.match(text(), /as of \d\d:\d\d:\d\d/)
    assert.match(text(), /2 of 2 available/)
    const again = await createGateway({ port: 0, prometheusPort: port, workerUrls: [first.workers[0]!.url] })
    t.after(() => again.close())
    await again.start()
    await shows(/1 of 1 available/, 'the fleet of the new router')
    assert.doesNotMatch(text(), /NO ANSWER/)
    press('ctrl-c')
    assert.equal(await within(5000, ended, 'the end'), 0)
    assert.equal(seen.closed, 1)
  })

  test('a router that takes the question and is silent is said to be, too', { timeout }, async (t) => {
    const silent = await startScriptedWorker([hang], { t, everyRoute: true })
    const { shows } = live(t, silent.url)
    await shows(/^NO ANSWER since .*: not within 3 s$/m, 'that it is silent')
  })

  test('ends when the terminal is gone', { timeout }, async (t) => {
    const { operations } = await fleetOf(t, 1)
    const { press, ended, shows } = live(t, operations)
    await shows(/healthy/, 'the worker')
    press('hang up')
    assert.equal(await within(5000, ended, 'the end'), 0)
  })
})
