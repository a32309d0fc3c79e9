/** A client that leaves while middleware of the user's is waiting for something: the books on its request are closed. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createGateway } from '../../app/gateway/gateway.ts'
import { pause, within } from '../support/deadline.ts'
import { openConnection } from '../support/raw-client.ts'

test('its upload is over, and the router stops without waiting for it', { timeout: 20_000 }, async (t) => {
  const waiting = Promise.withResolvers<void>()
  const goOn = Promise.withResolvers<void>()
  const gateway = await createGateway({
    port: 0,
    prometheusPort: 0,
    middleware: [
      {
        position: 'before',
        middleware: async (_, next) => {
          waiting.resolve()
          await goOn.promise
          await next()
        },
      },
    ],
  })
  t.after(() => gateway.close())
  const { api } = await gateway.start()
  const connection = openConnection({ port: Number(new URL(api).port) })
  await connection.opened
  const headers = { 'content-type': 'application/json', 'content-length': '10' }
  const exchange = connection.request({ method: 'POST', path: '/v1/completions', headers, body: '' })
  exchange.head.catch(() => {})
  await connection.write('abc')
  await within(5000, waiting.promise, 'the middleware')
  connection.abort({ reset: true })
  // Until the router's side of the connection is gone too.
  await pause(200)
  goOn.resolve()
  await within(5000, gateway.stop({ settle: false }), 'the end of the router')
  assert.match(
    await gateway.operations(new Request('http://x/metrics')).then((answer) => answer.text()),
    /client_closed/,
  )
})
