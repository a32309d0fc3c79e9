import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:https'
import { describe, type TestContext, test } from 'node:test'
import { get } from '../../../app/upstream/get.ts'
import { TransportError } from '../../../app/upstream/http-client.ts'
import { within } from '../../support/deadline.ts'
import { closedPort, portOf } from '../../support/sockets.ts'

const certificates = new URL('../../support/certificates/', import.meta.url)
const pem = (file: string): Promise<string> => readFile(new URL(file, certificates), 'utf8')

/** A server over TLS that answers by path; counts the connections that have ended. */
async function startServer(t: TestContext) {
  const closed = Promise.withResolvers<void>()
  const options = { key: await pem('server.key'), cert: await pem('server.crt') }
  const server = createServer(options, (request, response) => {
    request.socket.on('close', () => closed.resolve())
    if (request.url === '/whole') {
      response.setHeader('x-seen', String(request.headers.authorization))
      response.end('{"a":1}')
      return
    }
    response.writeHead(200)
    response.write('{"a":')
    if (request.url === '/cut') setTimeout(() => request.socket.destroy(), 20)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return { url: `https://127.0.0.1:${portOf(server)}`, closed: closed.promise }
}

const fault = (wanted: TransportError['fault']) => (error: unknown) => {
  assert.ok(error instanceof TransportError, String(error))
  assert.equal(error.fault, wanted, error.message)
  return true
}

describe('a GET with an authority of its own', () => {
  test('brings status, headers and body', async (t) => {
    const { url } = await startServer(t)
    const request = { url: `${url}/whole`, headers: [['authorization', 'Bearer x']] as const }
    const answer = await within(5000, get({ ...request, ca: await pem('ca.crt') }).head, 'the head')
    assert.equal(answer.status, 200)
    assert.equal(answer.headers.find(([name]) => name.toLowerCase() === 'x-seen')?.[1], 'Bearer x')
    assert.equal(Buffer.from(await answer.body.readAll()).toString(), '{"a":1}')
  })

  test('refuses a server that another authority vouches for, or none', async (t) => {
    const { url } = await startServer(t)
    for (const ca of [await pem('other-ca.crt'), undefined]) {
      const { head } = get({ url: `${url}/whole`, headers: [], ca })
      await assert.rejects(within(5000, head, 'the end'), fault('unreachable'))
    }
  })

  test('gives what has come of a body at once, and closes the connection when nobody wants the rest', async (t) => {
    const { url, closed } = await startServer(t)
    const { body } = await get({ url: `${url}/endless`, headers: [], ca: await pem('ca.crt') }).head
    const chunk = await within(5000, body.read(), 'the first chunk')
    assert.equal(Buffer.from(chunk ?? []).toString(), '{"a":')
    const rest = body.read()
    rest.catch(() => {})
    body.cancel()
    await assert.rejects(within(1000, rest, 'the end of reading'), fault('aborted'))
    await within(1000, closed, 'the end of the connection')
  })

  test('tells a body that breaks off from one that ends', async (t) => {
    const { url } = await startServer(t)
    const { body } = await get({ url: `${url}/cut`, headers: [], ca: await pem('ca.crt') }).head
    await assert.rejects(within(5000, body.readAll(), 'the end'), fault('reset'))
  })

  test('is aborted before there is an answer, and says when there is nobody', async () => {
    const { port, release } = await closedPort()
    const { head } = get({ url: `http://127.0.0.1:${port}/`, headers: [], ca: undefined })
    await assert.rejects(within(5000, head, 'the end'), fault('unreachable'))
    await release()
    const pending = get({ url: 'http://127.0.0.1:9/', headers: [], ca: undefined })
    pending.abort()
    await assert.rejects(within(5000, pending.head, 'the end'), fault('aborted'))
  })
})
