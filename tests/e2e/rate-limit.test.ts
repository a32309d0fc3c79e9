/** The rate limit of a running router: what passes, what is told to those that do not, what counts. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { pause } from '../support/deadline.ts'
import { rawRequest } from '../support/raw-client.ts'
import { routerOver } from '../support/router-over.ts'
import { startScriptedWorker } from '../support/scripted-worker.ts'
import { shared } from '../support/shared.ts'
import { answer } from '../support/wire.ts'

const timeout = 30_000
/** One request in two seconds: a slow machine cannot let a second one in by mistake. */
const perSecond = 0.5

const setup = shared(async (t) => {
  const worker = await startScriptedWorker(() => answer(200, '{}'), { t })
  const args = ['--rate-limit-tokens-per-second', String(perSecond)]
  return { worker, router: await routerOver([worker], { t, args }) }
})

async function ask(json: object = { model: 'test-model', prompt: 'hi' }) {
  const { router } = await setup()
  const exchange = rawRequest({ port: router.apiPort, path: '/v1/completions', json })
  const { header } = await exchange.head
  return { ...(await exchange.text()), retryAfter: Number(header('retry-after')) }
}

describe('the rate limit', () => {
  test('turns away what exceeds it, says for how long, and counts it', { timeout }, async () => {
    const { router, worker } = await setup()
    assert.equal((await ask({ model: 'test-model' })).status, 400, 'refused before the limit: counts nothing')
    assert.equal((await ask()).status, 200)
    const refused = await ask()
    assert.equal(refused.status, 429)
    assert.match(refused.text, /"code":"rate_limited"/)
    const seconds = refused.retryAfter
    assert.ok(seconds >= 1 && seconds <= 1 / perSecond, `Retry-After: ${seconds}`)
    assert.equal(worker.requests.filter(({ path }) => path === '/v1/completions').length, 1)
    assert.equal(await router.metric('vllm_router_rejected_total', { reason: 'rate_limited' }), 1)
    assert.equal(await router.metric('vllm_router_request_errors_total', { error_type: 'rate_limited' }), 1)
    // The time itself is what is tested here.
    await pause(seconds * 1000)
    assert.equal((await ask()).status, 200, 'after the time that was told')
  })
})
