import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createGateway } from '../../app/gateway/gateway.ts'
import { eventually } from '../support/deadline.ts'
import { startScriptedWorker } from '../support/scripted-worker.ts'

test('the admin key that opens a development route does not go on to the worker', async (t) => {
  const worker = await startScriptedWorker(undefined, { t })
  const gateway = await createGateway({ workerUrls: [worker.url], adminApiKey: 'root' })
  t.after(() => gateway.close())
  gateway.probe()
  await eventually(async () => (await gateway.control.vitals()).available === 1, {
    what: 'the worker is available',
  })
  const headers = { 'x-admin-api-key': 'root', authorization: 'Bearer of-the-worker' }
  const response = await gateway.fetch(new Request('http://router/sleep', { method: 'POST', headers }))
  await response.arrayBuffer()
  const [request] = worker.requests
  assert.equal(request?.header('authorization'), 'Bearer of-the-worker')
  assert.equal(request?.header('x-admin-api-key'), undefined)
})
