/** The verbs with which an operator asks a running router and changes it; what became of requests and why. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type Operation, operate } from '../../../app/cli/operate.ts'
import { createGateway } from '../../../app/index.ts'
import type { RequestView } from '../../../app/request/request-view.ts'
import { within } from '../../support/deadline.ts'
import { rawRequest } from '../../support/raw-client.ts'
import type { Scope } from '../../support/scope.ts'
import { startScriptedWorker } from '../../support/scripted-worker.ts'
import { answer, close } from '../../support/wire.ts'

const timeout = 30_000
const secret = 'a prompt that nobody may see'
const chat = { model: 'test-model', messages: [{ role: 'user', content: secret }] }

async function running(t: Scope, options: object = {}) {
  const workers = await Promise.all([0, 1].map(() => startScriptedWorker(undefined, { t })))
  const gateway = await createGateway({
    ...{ port: 0, prometheusPort: 0, workerUrls: workers.map(({ url }) => url), retryMaxRetries: 2 },
    ...options,
  })
  t.after(() => gateway.close())
  const { api, operations } = await gateway.start()
  const said = { out: '', err: '' }
  /** Runs a verb; resolves with its exit code. */
  const run = async (operation: Operation, words: readonly string[] = [], env: object = {}) => {
    said.out = ''
    said.err = ''
    return operate({
      ...{ operation, env: env as Record<string, string>, argv: [...words, '--url', operations] },
      out: (text) => {
        said.out += text
      },
      err: (text) => {
        said.err += text
      },
    })
  }
  const ask = async (json: object = chat) => {
    const exchange = rawRequest({ port: Number(new URL(api).port), path: '/v1/chat/completions', json })
    return (await within(10_000, exchange.text(), 'an answer')).status
  }
  const requests = async (...flags: string[]): Promise<RequestView[]> => {
    assert.equal(await run('requests', ['--json', ...flags]), 0, said.err)
    return JSON.parse(said.out)
  }
  return { gateway, workers, run, said, ask, requests, operations }
}

describe('workers', () => {
  test('are shown in a table, drained, brought back, taken out and added', { timeout }, async (t) => {
    const { workers, run, said, gateway } = await running(t)
    const [first] = workers
    assert.equal(await run('workers'), 0)
    const lines = said.out.trimEnd().split('\n')
    assert.match(lines[0] ?? '', /^ID +URL +STATE +IN FLIGHT/)
    assert.match(lines[1] ?? '', /127\.0\.0\.1:\d+ +healthy +0 +0 sent +- +test-model$/)
    assert.equal(lines.length, 3)
    assert.equal(await run('drain', [first!.url]), 0)
    assert.match(said.out, /draining, 0 requests in flight/)
    assert.equal((await gateway.control.worker(first!.url)).draining, true)
    await run('undrain', [first!.url])
    assert.equal((await gateway.control.worker(first!.url)).draining, false)
    await run('remove', [first!.url])
    assert.equal((await gateway.control.workers()).length, 1)
    assert.equal(await run('add', [first!.url]), 0)
    assert.match(said.out, / added as [0-9a-f]{12}$/m)
  })

  test('that are not there, and words that are missing, are told', { timeout }, async (t) => {
    const { run, said } = await running(t)
    assert.equal(await run('drain', ['nobody']), 1)
    assert.match(said.err, /404: no such worker/)
    assert.equal(await run('drain'), 2)
    assert.match(said.err, /drain <worker>: exactly one/)
    assert.equal(await run('workers', ['what']), 2)
    assert.equal(await run('add', ['http://127.0.0.1:1/v1']), 1)
    assert.match(said.err, /did you mean/)
  })

  test('need the admin key where there is one', { timeout }, async (t) => {
    const { run, said } = await running(t, { adminApiKey: 'root-key' })
    assert.equal(await run('workers'), 1)
    assert.match(said.err, /401: .*VLLM_ROUTER_ADMIN_API_KEY/)
    assert.equal(await run('workers', [], { VLLM_ROUTER_ADMIN_API_KEY: 'root-key' }), 0)
  })
})

describe('the usage', () => {
  test('is a table of all hours together, or CSV of each', { timeout }, async (t) => {
    const { ask, run, said } = await running(t)
    for (let time = 0; time < 3; time++) await ask()
    assert.equal(await run('usage'), 0)
    const [names, line] = said.out.split('\n').map((text) => text.split(/ {2,}/))
    assert.deepEqual(names?.slice(0, 3), ['TENANT', 'MODEL', 'REQUESTS'])
    assert.deepEqual(line?.slice(0, 3), ['-', 'test-model', '3'])
    assert.equal(await run('usage', ['--csv', '--model', 'test-model']), 0)
    assert.match(said.out, /hour,tenant,model,requests,.*\r\n\d{4}-\d\d-\d\dT\d\d:00:00.000Z,,test-model,3,/)
    assert.equal(await run('usage', ['--json', '--tenant', 'nobody']), 0)
    assert.match(said.out, /"hours": \[\]/)
    assert.equal(await run('usage', ['--from', 'yesterday']), 1)
    assert.match(said.err, /400: `from` must be a date or a time/)
    assert.equal(await run('usage', ['--csv', '--from', 'yesterday']), 1)
  })
})

test('a router that is not there is named, with what to do', { timeout }, async (t) => {
  const { run, said, gateway } = await running(t)
  await gateway.close()
  assert.equal(await run('workers'), 1)
  assert.match(said.err, /no answer from http:\/\/127.*--url names another/)
})

test('a listener is named without http as well', { timeout }, async (t) => {
  const { operations } = await running(t)
  const said = { out: '' }
  const write = (text: string): void => {
    said.out += text
  }
  const code = await operate({
    ...{ operation: 'workers', env: {}, argv: ['--url', operations.replace('http://', '')] },
    ...{ out: write, err: write },
  })
  assert.equal(code, 0, said.out)
  assert.match(said.out, /healthy/)
})

describe('somebody else on that port is told as such, with what to do', () => {
  const answers: readonly (readonly [who: string, body: string])[] = [
    ['a page', '<!doctype html><title>Something</title>'],
    ['nothing at all', ''],
    ['another program', '{"workers":[{"id":"a","url":"http://a:1"}]}'],
    ['another one', '{"workers":{"a":1}}'],
    ['a word', '"OK"'],
  ]
  for (const [who, body] of answers)
    for (const operation of ['workers', 'top'] as const)
      test(`${who}, asked by ${operation}`, { timeout }, async () => {
        const said = { text: '' }
        const write = (text: string): void => {
          said.text += text
        }
        const code = await operate({
          ...{ operation, env: {}, argv: ['--url', 'http://other:1'], out: write, err: write },
          fetch: Object.assign(async () => new Response(body), fetch),
        })
        assert.equal(code, 1)
        assert.match(said.text, /http:\/\/other:1 answers, and not as a router.*--url names another/)
      })
})

test('the configuration is shown; a router of a program cannot be reloaded from outside', {
  timeout,
}, async (t) => {
  const { run, said } = await running(t, { apiKey: 'worker-key' })
  assert.equal(await run('config'), 0)
  assert.match(said.out, /^retry-max-retries: 2$/m)
  assert.match(said.out, /^api-key: set, not shown$/m)
  assert.equal(await run('reload'), 1)
  assert.match(said.err, /part of a program/)
})

describe('the last requests', () => {
  test('say where each went, why, and how long each phase took', { timeout }, async (t) => {
    const { ask, requests, workers } = await running(t)
    await ask({ ...chat, stream: true })
    const [view] = await requests()
    assert.ok(view)
    const { phases, attempts } = view
    assert.deepEqual(
      [view.status, view.end_reason, view.candidates, view.stream],
      [200, 'completed', 2, true],
    )
    assert.deepEqual(view.passed_over, [])
    assert.deepEqual(
      attempts.map(({ worker, why, outcome }) => [worker, why, outcome]),
      [[workers.find(({ requests: had }) => had.length > 0)?.url, 'turn', 'completed']],
    )
    const { admitted = -1, sent = -1, head = -1, first_token = -1, end = -1 } = phases
    assert.ok(admitted >= 0 && sent >= admitted && head >= sent && first_token >= head && end >= first_token)
  })

  test('say what each attempt came to, and who was passed over', { timeout }, async (t) => {
    // Not in turns: round robin draws who is first.
    const { ask, requests, workers, run } = await running(t, { policy: 'least_inflight' })
    workers[0]!.use([close])
    assert.equal(await ask(), 200)
    const [view] = await requests()
    assert.deepEqual(
      view?.attempts.map(({ worker, outcome }) => [worker, outcome]),
      [
        [workers[0]!.url, 'connection_lost'],
        [workers[1]!.url, 'completed'],
      ],
    )
    assert.deepEqual(view?.passed_over, [{ worker: workers[0]!.url, reason: 'tried' }])
    await run('drain', [workers[1]!.url])
    workers[0]!.use(undefined)
    await ask()
    const [next] = await requests()
    assert.deepEqual(next?.passed_over, [{ worker: workers[1]!.url, reason: 'draining' }])
    assert.equal(next?.candidates, 1)
  })

  test('are filtered by worker, model, status, time and failure', { timeout }, async (t) => {
    const { ask, requests, workers, run, said } = await running(t)
    for (let request = 0; request < 4; request++) await ask()
    for (const worker of workers) worker.use(answer(400, '{"error":{"message":"no","code":400}}'))
    await ask()
    await ask({ ...chat, model: 'made-up' })
    assert.equal((await requests()).length, 6)
    assert.equal((await requests('--limit', '2')).length, 2)
    assert.equal((await requests('--worker', workers[1]!.url)).length >= 2, true)
    assert.equal((await requests('--status', '400')).length, 1)
    assert.equal((await requests('--failed')).length, 2)
    assert.equal((await requests('--model', 'test-model')).length, 5)
    assert.equal((await requests('--slower-than-ms', '60000')).length, 0)
    assert.equal(await run('requests', ['--status', 'bad']), 1)
    assert.match(said.err, /`status` must be a whole number/)
    assert.equal(await run('requests'), 0)
    assert.match(said.out, /model_not_found: no worker serves the model "made-up"/)
  })

  test('are found by the worker that failed them, under either of its names', { timeout }, async (t) => {
    const { ask, requests, workers, gateway } = await running(t)
    const [failing] = workers
    failing!.use([close])
    for (let request = 0; request < 4; request++) assert.equal(await ask(), 200)
    const failed = (await requests()).filter(({ attempts }) => attempts.length === 2)
    assert.ok(failed.length > 0)
    const { id } = await gateway.control.worker(failing!.url)
    const ids = (views: readonly RequestView[]) => views.map(({ request_id }) => request_id)
    assert.deepEqual(ids(await requests('--worker', failing!.url)), ids(failed))
    assert.deepEqual(ids(await requests('--worker', id)), ids(failed))
  })

  test('never show a prompt, and are not more than a thousand', { timeout: 60_000 }, async (t) => {
    const { ask, run, said } = await running(t)
    for (let request = 0; request < 1050; request++) await ask()
    await run('requests', ['--json', '--limit', '5000'])
    assert.equal((JSON.parse(said.out) as unknown[]).length, 1000)
    assert.ok(!said.out.includes(secret))
  })

  test('a filter that there is not is refused by name', { timeout }, async (t) => {
    const { operations } = await running(t)
    const port = Number(new URL(operations).port)
    const { status, text } = await rawRequest({ port, path: '/debug/requests?workers=x' }).text()
    assert.equal(status, 400)
    assert.match(text, /no filter; there are: worker, model/)
  })
})
