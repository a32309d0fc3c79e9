/** Connections to workers: which are used again, when they end, and what a broken one tells the router. */

import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { describe, type TestContext, test } from 'node:test'
import { type OutgoingRequest, TransportError } from '../../../app/upstream/http-client.ts'
import { workerClient } from '../../../app/upstream/worker-client.ts'
import { WorkerExchange } from '../../../app/upstream/worker-exchange.ts'
import { RequestBody } from '../../../http/request-body.ts'
import { eventually, within } from '../../support/deadline.ts'
import {
  type ScriptedWorker,
  type ScriptedWorkerOptions,
  startScriptedWorker,
} from '../../support/scripted-worker.ts'
import { closedPort } from '../../support/sockets.ts'
import { close, hang, reset, type Wire } from '../../support/wire.ts'

const json = JSON.stringify({ model: 'test-model', prompt: 'hello' })
const bodyOf = (...pieces: string[]) => new RequestBody(pieces.map((piece) => Buffer.from(piece)))
const headers = [['content-type', 'application/json']] as const

async function fixture(t: TestContext, options: ScriptedWorkerOptions = {}, idleSocketMs = 4000) {
  const worker = await startScriptedWorker(undefined, { t, ...options })
  const client = workerClient({ connectTimeoutMs: 8000, idleSocketMs, maxHeadBytes: 16_384 })
  t.after(() => client.close())
  const send = (more: Partial<OutgoingRequest> = {}) =>
    client.send({
      origin: worker.url,
      path: '/v1/completions',
      method: 'POST',
      headers,
      body: bodyOf(json),
      ...more,
    })
  const ask = async (more?: Partial<OutgoingRequest>) => {
    const answer = await within(5000, send(more).head, 'a head')
    return { status: answer.status, text: Buffer.from(await answer.body.readAll()).toString() }
  }
  return { worker, client, send, ask }
}

/** Connections that have carried requests: probes are none here. */
const opened = ({ connections }: ScriptedWorker): number => connections.length

function fault(name: string, code?: string, reused?: boolean) {
  return (error: unknown) => {
    assert.ok(error instanceof TransportError, String(error))
    assert.equal(error.fault, name)
    if (code !== undefined) assert.equal(error.code, code)
    if (reused !== undefined) assert.equal(error.reused, reused)
    return true
  }
}

describe('a connection', () => {
  test('opened with other files than those that are named now serves no further request', async (t) => {
    const { worker, client, send, ask } = await fixture(t, {}, 60_000)
    await ask()
    const underWay = send()
    client.setTls(worker.url, { serverName: 'another' })
    await (await within(5000, underWay.head, 'a head')).body.readAll()
    await eventually(() => client.connections === 0, { what: 'it is closed' })
    await ask()
    assert.equal(opened(worker), 2)
  })

  test('serves one request after the other', async (t) => {
    const { worker, ask } = await fixture(t)
    for (let index = 0; index < 20; index++) assert.equal((await ask()).status, 200)
    assert.equal(opened(worker), 1)
  })

  test('is not shared by requests at the same time, however many: 600 of them all arrive', async (t) => {
    const { worker, send } = await fixture(t)
    worker.use([hang])
    const pending = Array.from({ length: 600 }, () => send())
    for (const { head } of pending) head.catch(() => {})
    await within(10_000, worker.received(600), 'all requests at once')
    for (const one of pending) one.abort()
  })

  test('is left alone by a request that wants a fresh one', async (t) => {
    const { worker, ask } = await fixture(t)
    await ask()
    await ask({ fresh: true })
    assert.equal(opened(worker), 2)
  })

  test('that has been idle for too long is closed and used no more', async (t) => {
    const { worker, ask } = await fixture(t, {}, 100)
    await ask()
    await eventually(() => worker.connections[0]?.closedAt !== undefined, {
      what: 'the idle connection is closed',
    })
    await ask()
    assert.equal(opened(worker), 2)
  })

  test('that the worker closes while idle is replaced without a word', async (t) => {
    const { worker, ask } = await fixture(t, { keepAliveMs: 50 })
    await ask()
    await eventually(() => worker.connections[0]?.goneAt !== undefined, { what: 'the worker closes it' })
    // It may be taken once more before its end is seen here: then the error says that it was an old one.
    const answer = await ask().catch((error: unknown) => {
      fault('reset', undefined, true)(error)
      return ask({ fresh: true })
    })
    assert.equal(answer.status, 200)
  })

  test('ends with an exchange that is given up', async (t) => {
    const { worker, send } = await fixture(t)
    worker.use([hang])
    const pending = send()
    await worker.received()
    pending.abort()
    await assert.rejects(pending.head, fault('aborted'))
    await eventually(() => worker.connections[0]?.closedAt !== undefined, {
      what: 'the connection is closed',
    })
  })
})

describe('what broke is told', () => {
  test('nobody listens', async (t) => {
    const { send } = await fixture(t)
    const { port, release } = await closedPort()
    t.after(release)
    const origin = `http://127.0.0.1:${port}`
    await assert.rejects(within(5000, send({ origin }).head, 'an end'), fault('unreachable', 'ECONNREFUSED'))
  })

  test('a name that does not exist', async (t) => {
    const { send } = await fixture(t)
    const { head } = send({ origin: 'http://no-such-host.invalid:80' })
    await assert.rejects(within(5000, head, 'an end'), fault('unreachable'))
  })

  test('a first connection that is reset may not be blamed on its age', async (t) => {
    const { worker, send } = await fixture(t)
    worker.use([reset])
    await assert.rejects(within(5000, send().head, 'an end'), fault('reset', undefined, false))
  })

  test('a reused one may, as long as no byte of the answer has come', async (t) => {
    const { worker, ask, send } = await fixture(t)
    await ask()
    worker.use([reset])
    await assert.rejects(within(5000, send().head, 'an end'), fault('reset', undefined, true))
  })

  test('a body that ends early fails the read, not the process', async (t) => {
    const { worker, send } = await fixture(t)
    worker.use(['HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfour', close])
    const { body } = await within(5000, send().head, 'a head')
    await assert.rejects(within(5000, body.readAll(), 'an end'), fault('reset'))
  })

  test('a field that would break the head is not sent', async (t) => {
    const { worker, send } = await fixture(t)
    for (const more of [
      { headers: [['x', 'a\r\nb: c']] as const },
      { headers: [['x', 'a\u010ab: c']] as const },
      { headers: [['x y', 'a']] as const },
      { path: '/a b' },
      { path: '/a\r\nb: c' },
    ])
      await assert.rejects(send(more).head, fault('unsendable'))
    assert.equal(worker.requests.length, 0)
  })
})

test('a body goes out whole and in order, in however many pieces it came', async (t) => {
  const { worker, ask } = await fixture(t)
  for (const bytes of [10, 3_000, 300_000]) {
    const piece = (index: number) => JSON.stringify(`${index} `.repeat(bytes / 10))
    const pieces = ['{"prompt":[', piece(1), ',', piece(2), ',', piece(3), ']}']
    assert.equal((await ask({ body: bodyOf(...pieces) })).status, 200)
    assert.equal(worker.requests.at(-1)?.body.toString(), pieces.join(''))
  }
})

test('an answer before the end of the upload is an answer, and the connection is not used again', async (t) => {
  const { worker, ask } = await fixture(t, {
    atHead: () => ['HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno'],
  })
  const body = new RequestBody([Buffer.alloc(32 * 1024 * 1024)])
  assert.deepEqual(await ask({ body }), { status: 413, text: 'no' })
  await ask()
  assert.equal(opened(worker), 2)
})

test('a reader that waits stops the sender', async (t) => {
  const size = 64 * 1024 * 1024
  let sent = 0
  const { worker, send } = await fixture(t)
  const piece = Buffer.alloc(64 * 1024)
  worker.use([
    `HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n`,
    async (wire: Wire) => {
      for (; sent < size && !wire.over; sent += piece.length) await wire.write(piece)
    },
  ])
  const { body } = await within(5000, send().head, 'a head')
  let before = -1
  const standsStill = (): boolean => {
    const still = sent > 0 && sent === before
    before = sent
    return still
  }
  await eventually(standsStill, { what: 'the sender stands still', everyMs: 100 })
  assert.ok(sent < size / 2, `${sent} bytes were taken off the sender`)
  let got = 0
  for (let chunk = await body.read(); chunk !== undefined; chunk = await body.read()) got += chunk.byteLength
  assert.equal(got, size)
})

test('a sender is not stopped for a large chunk that was waited for', async () => {
  const calls: string[] = []
  const exchange = new WorkerExchange()
  exchange.begin({
    pause: () => calls.push('pause'),
    resume: () => calls.push('resume'),
    destroy: () => calls.push('destroy'),
  })
  const chunk = Buffer.alloc(512 * 1024)
  const read = exchange.read()
  exchange.onData(chunk)
  exchange.handOn()
  assert.equal((await within(5000, read, 'the chunk'))?.byteLength, chunk.length)
  assert.deepEqual(calls, [])
  exchange.onData(chunk)
  exchange.handOn()
  assert.deepEqual(calls, ['pause'])
  assert.equal((await within(5000, exchange.read(), 'the chunk'))?.byteLength, chunk.length)
  assert.deepEqual(calls, ['pause', 'resume'])
})

test('a certificate that nobody vouches for is no worker', async (t) => {
  const pem = (file: string) => readFile(new URL(`../../support/certificates/${file}`, import.meta.url))
  const [key, cert] = await Promise.all([pem('server.key'), pem('server.crt')])
  let asked = 0
  const server = createServer({ key, cert }, (_, response) => {
    asked++
    response.end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => server.close())
  const { send } = await fixture(t)
  const { port } = server.address() as AddressInfo
  const { head } = send({ origin: `https://127.0.0.1:${port}` })
  await assert.rejects(within(5000, head, 'an end'), fault('unreachable'))
  assert.equal(asked, 0)
})
