/** One client's input, whatever it makes workers do, takes no healthy worker from anybody else. */

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { apiRequest } from '../support/api-bodies.ts'
import { within } from '../support/deadline.ts'
import { tally } from '../support/failure-books.ts'
import { gap } from '../support/fault.ts'
import { rawRequest } from '../support/raw-client.ts'
import { routerOver } from '../support/router-over.ts'
import type { RouterProcess } from '../support/router-process.ts'
import type { Scope } from '../support/scope.ts'
import { type Chooser, startScriptedWorker } from '../support/scripted-worker.ts'
import { sized } from '../support/soak.ts'
import { steadyLoad } from '../support/steady-load.ts'
import { answer, chunk, close, hang, lastChunk, type Script, streamHead } from '../support/wire.ts'

const seconds = sized(20, 4)
const content = 'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
const done = ['data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n', 'data: [DONE]\n\n']
const errorEvent = (error: object): string => `data: ${JSON.stringify({ error })}\n\n`
const events = (...all: string[]): Script => [streamHead(), ...all.map(chunk), lastChunk]
const large = `data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}],"prompt_token_ids":[${'12345,'.repeat(240_000)}0]}\n\n`

interface Input {
  readonly what: string
  readonly stream: boolean
  /** Flags of the router. */
  readonly args?: readonly string[]
  /** What it makes every worker do. */
  readonly script: Script
  /** What its client must get. */
  readonly gets: RegExp
}

const inputs: readonly Input[] = [
  {
    what: 'a first event of 1.4 MB',
    stream: true,
    script: events(large, content, ...done),
    gets: /^200 .*\[DONE\]\s*$/s,
  },
  {
    what: 'a late event of 1.4 MB',
    stream: true,
    script: events(content, large, ...done),
    gets: /^200 .*\[DONE\]\s*$/s,
  },
  {
    what: 'a 500',
    stream: false,
    script: answer(500, '{"error":{"message":"bad","code":500}}'),
    gets: /^500 .*bad/,
  },
  {
    what: 'a 500 that names the mistake by a word',
    stream: false,
    script: answer(500, '{"error":{"message":"bad","type":"BadRequestError"}}'),
    gets: /^500 .*bad/,
  },
  {
    what: 'an error event before any content',
    stream: true,
    script: events(
      errorEvent({ message: 'bad', type: 'InternalServerError', code: 500 }),
      'data: [DONE]\n\n',
    ),
    gets: /^200 .*bad/s,
  },
  {
    what: 'an error event whose code is a word',
    stream: true,
    script: events(errorEvent({ message: 'bad', code: 'context_length_exceeded' }), 'data: [DONE]\n\n'),
    gets: /^200 .*bad/s,
  },
  {
    what: 'an error event in the middle of the stream',
    stream: true,
    script: events(content, errorEvent({ message: 'bad', code: 500 }), 'data: [DONE]\n\n'),
    gets: /^200 .*bad/s,
  },
  {
    what: 'a stream that breaks off in the middle',
    stream: true,
    script: [streamHead(), chunk(content), gap, close],
    gets: /^200 .*worker_lost/s,
  },
  {
    what: 'a prefill beyond the limit for the first token',
    stream: true,
    script: [streamHead(), hang],
    args: ['--first-token-timeout-secs', '2'],
    gets: /^504 .*first_token_timeout/,
  },
]

for (const size of [2, 1]) {
  describe(`one client sends it again and again, ${size} workers`, () => {
    const cleanups: (() => unknown)[] = []
    const t: Scope = { after: (work: () => unknown) => void cleanups.push(work) }
    const runs = new Map<Input, Promise<Got>>()

    before(() => {
      // Most of the time is spent waiting: three at a time.
      const lanes: Promise<unknown>[] = [Promise.resolve(), Promise.resolve(), Promise.resolve()]
      for (const [index, input] of inputs.entries()) {
        const run = lanes[index % 3]!.then(() => sendBoth(input, size, t))
        runs.set(input, run)
        lanes[index % 3] = run.catch(() => {})
      }
    })
    after(() => Promise.all(cleanups.map((work) => work())))

    for (const input of inputs) {
      test(input.what, { timeout: 60_000 }, async () => {
        const { good, bad } = await runs.get(input)!
        assert.deepEqual(tally(good.map((text) => text.slice(0, 3))), { 200: good.length })
        for (const got of bad) assert.match(got.slice(0, 300) + got.slice(-300), input.gets)
      })
    }
  })
}

interface Got {
  readonly good: readonly string[]
  readonly bad: readonly string[]
}

/** The answers of both clients. */
async function sendBoth({ stream, script, args = [] }: Input, size: number, t: Scope): Promise<Got> {
  const strike: Chooser = (request) => (request.header('x-bad') ? script : undefined)
  const workers = await Promise.all(Array.from({ length: size }, () => startScriptedWorker(strike, { t })))
  const router = await routerOver(workers, { t, args })
  const headers = { 'x-bad': '1' }
  const bad = steadyLoad({ perSecond: 5, seconds }, () => ask(router, { stream, headers }))
  const good = await steadyLoad({ perSecond: 20, seconds }, (index) =>
    ask(router, { stream: index % 2 === 0 }),
  )
  return { good, bad: await bad }
}

async function ask(
  router: RouterProcess,
  { stream, headers = {} }: { stream: boolean; headers?: Readonly<Record<string, string>> },
): Promise<string> {
  const { path, headers: fields, json } = apiRequest({ stream, headers })
  const exchange = rawRequest({ port: router.apiPort, path, json, headers: fields })
  const { status, text } = await within(10_000, exchange.text(), 'an answer')
  return `${status} ${text}`
}
