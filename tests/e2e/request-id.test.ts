/** Every request has an id, the same for client, router log and worker. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { eventually } from '../support/deadline.ts'
import { routerOver } from '../support/router-over.ts'
import { startScriptedWorker } from '../support/scripted-worker.ts'
import { send } from '../support/send-all.ts'
import { shared } from '../support/shared.ts'
import { answer, until } from '../support/wire.ts'

const timeout = 30_000
const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/
const path = '/v1/completions'
const json = { model: 'test-model', prompt: 'hi' }

const setup = shared(async (t) => {
  const worker = await startScriptedWorker(undefined, { t })
  return { worker, router: await routerOver([worker], { t }) }
})

/** The id that came back, and the one that the worker received. */
async function idsFor(headers: Record<string, string>, body: object = json) {
  const { worker, router } = await setup()
  const { head } = await send(router.apiPort, { path, json: body, headers })
  const back = head.headers
    .filter(([name]) => name.toLowerCase() === 'x-request-id')
    .map(([, value]) => value)
  assert.equal(back.length, 1)
  return { back: back[0] ?? '', received: worker.requests.at(-1), status: head.status }
}

describe('the request id', () => {
  test('of the client is kept, sent to the worker, and sent back', { timeout }, async () => {
    const { back, received } = await idsFor({ 'X-Request-Id': 'client-1:a/b' })
    assert.equal(back, 'client-1:a/b')
    assert.equal(received?.header('x-request-id'), 'client-1:a/b')
  })

  for (const name of ['x-correlation-id', 'x-trace-id', 'request-id']) {
    test(`is taken from ${name}, which passes on its own too`, { timeout }, async () => {
      const { back, received } = await idsFor({ [name]: `from-${name}` })
      assert.equal(back, `from-${name}`)
      assert.equal(received?.header('x-request-id'), `from-${name}`)
      assert.equal(received?.header(name), `from-${name}`)
    })
  }

  test('comes from the first header of the list that has one', { timeout }, async () => {
    assert.equal((await idsFor({ 'request-id': 'last', 'x-correlation-id': 'first' })).back, 'first')
  })

  test('is made for a request without one, and for one that brought something odd', { timeout }, async () => {
    const made = new Set<string>()
    for (const headers of [{}, {}, { 'x-request-id': 'two words' }, { 'x-request-id': 'x'.repeat(129) }]) {
      const { back, received } = await idsFor(headers as Record<string, string>)
      assert.match(back, uuid)
      assert.equal(received?.header('x-request-id'), back)
      made.add(back)
    }
    assert.equal(made.size, 4)
  })

  test('is on the answers of the router itself, and on streams', { timeout }, async () => {
    const { router } = await setup()
    assert.deepEqual(
      await idsFor({ 'x-request-id': 'wrong-1' }, []).then(({ back, status }) => [back, status]),
      ['wrong-1', 400],
    )
    assert.equal((await idsFor({ 'x-request-id': 'stream-1' }, { ...json, stream: true })).back, 'stream-1')
    const health = await send(router.apiPort, { path: '/health', headers: { 'x-request-id': 'probe-1' } })
    assert.equal(health.head.header('x-request-id'), 'probe-1')
  })

  test('in use already is not given to a worker twice, and still comes back', { timeout }, async () => {
    const { worker, router } = await setup()
    const ready = Promise.withResolvers<void>()
    worker.use(() => [until(ready.promise), ...answer(200, '{}')])
    const before = worker.requests.length
    const fields = [
      { 'x-request-id': 'shared' },
      { 'x-correlation-id': 'shared' },
      { 'x-trace-id': 'shared' },
    ]
    const answers = fields.map((headers) => send(router.apiPort, { path, json, headers }))
    await worker.received(before + 3)
    ready.resolve()
    for (const { head } of await Promise.all(answers)) assert.equal(head.header('x-request-id'), 'shared')
    const received = worker.requests.slice(before).map((request) => request.header('x-request-id') ?? '')
    assert.equal(new Set(received).size, 3)
    assert.equal(received.filter((id) => id === 'shared').length, 1)
    for (const id of received) assert.match(id, /^shared(-[0-9a-f]{12})?$/)
    worker.use(undefined)

    const lines = await eventually(
      () => {
        const found = router.logs().filter(({ request_id }) => request_id === 'shared')
        return found.length === 3 ? found : undefined
      },
      { what: 'the log lines of the requests' },
    )
    assert.deepEqual(lines.map((line) => line.worker_request_id ?? 'shared').sort(), received.sort())
    const { received: again } = await idsFor({ 'x-request-id': 'shared' })
    assert.equal(again?.header('x-request-id'), 'shared', 'an id that is free again')
  })

  test('that the router has made is not given to a worker twice either, where a client sends it on', {
    timeout,
  }, async () => {
    const { worker, router } = await setup()
    const before = worker.requests.length
    const ready = Promise.withResolvers<void>()
    worker.use([until(ready.promise), ...answer(200, '{}')])
    const first = send(router.apiPort, { path, json })
    const made = (await worker.received(before + 1)).header('x-request-id') ?? ''
    const second = send(router.apiPort, { path, json, headers: { 'x-request-id': made } })
    const followed = (await worker.received(before + 2)).header('x-request-id') ?? ''
    ready.resolve()
    for (const { head } of await Promise.all([first, second])) assert.equal(head.header('x-request-id'), made)
    assert.notEqual(followed, made)
    worker.use(undefined)
  })

  test('is in the log line of the request, with what became of it', { timeout }, async () => {
    const { router } = await setup()
    await idsFor({ 'x-request-id': 'logged-1' })
    const line = await eventually(
      () => router.logs().find(({ msg, request_id }) => msg === 'request' && request_id === 'logged-1'),
      { what: 'the log line of the request' },
    )
    assert.deepEqual(
      [line.route, line.status, line.end_reason, line.attempts, line.model],
      [path, 200, 'completed', 1, 'test-model'],
    )
  })
})
