/** The page in a browser: what it shows is what the router says, and what is pressed is done. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Page } from 'playwright-core'
import { openPage, skipWithoutChromium, startBrowser, type WatchedPage } from '../support/browser.ts'
import { eventually, eventuallyHolds } from '../support/deadline.ts'
import { routerOver } from '../support/router-over.ts'
import type { RouterProcess } from '../support/router-process.ts'
import type { Scope } from '../support/scope.ts'
import { startScriptedWorker } from '../support/scripted-worker.ts'
import { send } from '../support/send-all.ts'
import { shared } from '../support/shared.ts'

const options = { timeout: 90_000, skip: skipWithoutChromium }
const adminKey = 'canary-admin-key'
const chatBody = { model: 'test-model', stream: true, messages: [{ role: 'user', content: 'canary-prompt' }] }

const browser = shared((t) => startBrowser(t))

async function open(router: { readonly operations: string }, t: Scope): Promise<WatchedPage> {
  return await openPage(await browser(), { url: `${router.operations}/`, t })
}

/** Of the elements that a selector finds. Not `innerText`: a row out of sight is not laid out and has none. */
const texts = (page: Page, selector: string): Promise<string[]> => page.locator(selector).allTextContents()

/** Nothing but what the page itself is made of, and nothing that a browser objects to. */
function assertClean({ complaints, asked }: WatchedPage, router: { readonly operations: string }): void {
  assert.deepEqual(complaints, [])
  assert.deepEqual(
    asked.filter((url) => !url.startsWith(`${router.operations}/`)),
    [],
  )
}

interface Listed {
  readonly url: string
  readonly in_flight: number
  readonly recent: { readonly attempts: number }
}

async function workersOf(router: RouterProcess): Promise<Listed[]> {
  const { body } = await send(router.operationsPort, { path: '/workers' })
  return (JSON.parse(body.bytes.toString()) as { workers: Listed[] }).workers
}

describe('the page', () => {
  test('shows the numbers of /metrics and of the admin routes', options, async (t) => {
    const workers = await Promise.all([1, 2, 3].map(() => startScriptedWorker(undefined, { t })))
    const router = await routerOver(workers, { t })
    const opened = await open(router, t)
    const { page } = opened
    for (let index = 0; index < 24; index++) {
      const json = { ...chatBody, model: index < 4 ? 'nobody-has-it' : 'test-model' }
      await send(router.apiPort, { path: '/v1/chat/completions', json })
    }
    await eventuallyHolds(
      async () => {
        const notes = await texts(page, '.tile .note')
        const total = async (name: string, labels = {}) =>
          (await router.metric(`vllm_router_${name}`, labels)) ?? 0
        const tokens = await total('tokens_total', { kind: 'completion' })
        assert.deepEqual(notes, [
          `${await total('requests_total', { route: '/v1/chat/completions' })} since the start`,
          `${tokens} since the start`,
          'over ten seconds',
          `${await total('request_errors_total')}, most model not found`,
          `${await total('retries_total')} since the start`,
          `${await total('queue_depth')} in the queue`,
        ])
        const listed = await workersOf(router)
        assert.deepEqual(
          await texts(page, '#workers .url'),
          listed.map(({ url }) => url),
        )
        assert.deepEqual(
          await texts(page, '#workers .minute b'),
          listed.map(({ recent }) => String(recent.attempts)),
        )
        assert.equal((await texts(page, '#requests tbody tr')).length, 24)
        assert.equal(await page.textContent('#summary'), '3 of 3 workers available')
      },
      { what: 'the same numbers on the page', withinMs: 5000 },
    )
    // The charts have drawn something by then.
    const line = await page.locator('.tile svg .line').first().getAttribute('d')
    assert.match(line ?? '', /^M[\d.]+ [\d.]+/)
    assertClean(opened, router)
  })

  test('drains, takes back and removes a worker, the last only when it is said twice', options, async (t) => {
    const workers = [await startScriptedWorker(undefined, { t }), await startScriptedWorker(undefined, { t })]
    const router = await routerOver(workers, { t })
    const opened = await open(router, t)
    const { page } = opened
    const url = workers[0]?.url ?? ''
    const row = page.locator('#workers tbody tr', { hasText: url })
    const stateOf = async () => (await workersOf(router)).find((worker) => worker.url === url)
    await row.getByRole('button', { name: `Drain ${url}`, exact: true }).click()
    await row.getByText('draining').waitFor()
    assert.equal(((await stateOf()) as unknown as { draining: boolean }).draining, true)
    assert.equal(await page.textContent('#action-result'), `${url} gets nothing new`)
    // By keyboard, as every action.
    await row.getByRole('button', { name: `Undrain ${url}` }).focus()
    await page.keyboard.press('Enter')
    await row.getByText('healthy').waitFor()

    await row.getByRole('button', { name: `Remove ${url}` }).click()
    await page.keyboard.press('Escape')
    await row.getByRole('button', { name: `Remove ${url}` }).click()
    const dialog = page.getByRole('dialog', { name: 'Remove this worker?' })
    assert.match(await dialog.innerText(), new RegExp(url))
    await page.keyboard.press('Enter')
    assert.ok((await stateOf()) !== undefined, 'Enter keeps it: the harmless button has the focus')
    await row.getByRole('button', { name: `Remove ${url}` }).click()
    await dialog.getByRole('button', { name: 'Remove' }).click()
    await row.waitFor({ state: 'detached' })
    assert.equal(await stateOf(), undefined)
    assertClean(opened, router)
  })

  test('asks for the admin key, says when it is refused, and keeps it to itself', options, async (t) => {
    const worker = await startScriptedWorker(undefined, { t })
    const router = await routerOver([worker], { t, env: { VLLM_ROUTER_ADMIN_API_KEY: adminKey } })
    const opened = await open(router, t)
    const { page } = opened
    const dialog = page.getByRole('dialog', { name: 'Admin key' })
    await dialog.waitFor()
    await page.keyboard.type('canary-wrong-key')
    await page.keyboard.press('Enter')
    await dialog.getByText('The router refuses this key.').waitFor()
    await page.keyboard.type(adminKey)
    await page.keyboard.press('Enter')
    await page.locator('#workers tbody tr').waitFor()
    await page.getByRole('button', { name: `Drain ${worker.url}` }).click()
    await page.locator('#workers .state', { hasText: 'draining' }).waitFor()
    await page.getByRole('button', { name: `Undrain ${worker.url}` }).click()
    await page.locator('#workers .state', { hasText: 'healthy' }).waitFor()
    await send(router.apiPort, { path: '/v1/chat/completions', json: chatBody })
    await page.locator('#requests tbody tr').waitFor()
    const held = await page.evaluate(() => {
      const { document, localStorage, sessionStorage } = globalThis as unknown as {
        document: {
          documentElement: { outerHTML: string }
          cookie: string
          querySelectorAll(all: string): Iterable<{ value: string }>
        }
        localStorage: object
        sessionStorage: object
      }
      const values = [...document.querySelectorAll('input')].map(({ value }) => value)
      return JSON.stringify([
        document.documentElement.outerHTML,
        document.cookie,
        values,
        { ...localStorage },
        { ...sessionStorage },
      ])
    })
    assert.doesNotMatch(held, /canary/)
    assert.ok(!opened.asked.some((url) => url.includes('canary')))
    // A browser reports each refusal by itself.
    assert.deepEqual(
      opened.complaints.filter((text) => !text.includes('401 (Unauthorized)')),
      [],
    )
  })

  test('shows names and errors of others as the text that they are', options, async (t) => {
    const attack = `"><script>globalThis.hit=1</script><img src=x onerror="globalThis.hit=1">`
    const worker = await startScriptedWorker(undefined, { t, model: attack })
    const router = await routerOver([worker], { t, args: ['--worker-startup-check-interval', '0.1'] })
    const opened = await open(router, t)
    const { page } = opened
    await page.locator('#workers .models', { hasText: attack }).waitFor()
    for (const model of [attack, `${attack}no`]) {
      const headers = { 'x-request-id': 'id-<b>bold</b>' }
      await send(router.apiPort, { path: '/v1/chat/completions', headers, json: { ...chatBody, model } })
    }
    await page.locator('#requests .outcome', { hasText: 'globalThis.hit' }).first().waitFor()
    await page.locator('#requests .open').first().click()
    await page.locator('.way').waitFor()
    const url = 'http://127.0.0.1:9/<script>hit</script>'
    await send(router.operationsPort, { path: '/workers', json: { url } })
    await page.locator('#workers .url', { hasText: '127.0.0.1:9/' }).waitFor()
    assert.match((await texts(page, '#playground-model option')).join(), /<script>/)
    const found = await page.evaluate(() => {
      const { document, hit } = globalThis as unknown as {
        document: { querySelectorAll(selector: string): { length: number } }
        hit?: number
      }
      return [
        hit,
        document.querySelectorAll('script').length,
        document.querySelectorAll('img, b > b, i').length,
      ]
    })
    assert.deepEqual(found, [undefined, 1, 1])
    assertClean(opened, router)
  })

  test('streams a chat and shows the way that it took', options, async (t) => {
    const worker = await startScriptedWorker(undefined, { t, tokens: 4 })
    const router = await routerOver([worker], { t, env: { VLLM_ROUTER_ROUTER_API_KEYS: 'client-key' } })
    const opened = await open(router, t)
    const { page } = opened
    await page.locator('#playground-model option').first().waitFor({ state: 'attached' })
    await page.getByLabel('Message').fill('canary-prompt')
    await page.getByRole('button', { name: 'Send' }).click()
    await page.locator('#playground-status', { hasText: '401' }).waitFor()
    await page.getByLabel('API key').fill('client-key')
    await page.getByRole('button', { name: 'Send' }).click()
    await page.locator('#playground-status.good').waitFor()
    assert.match(await page.locator('#playground-answer').innerText(), /\w/)
    const way = page.locator('#playground-way')
    await way.getByText(worker.url).waitFor()
    await way.getByText(/completed/).waitFor()
    assert.deepEqual(
      opened.complaints.filter((text) => !text.includes('401 (Unauthorized)')),
      [],
    )
    assert.match(JSON.stringify(worker.requests[0]?.json()), /canary-prompt/)
  })

  test('filters, opens and holds the requests', options, async (t) => {
    const worker = await startScriptedWorker(undefined, { t })
    const router = await routerOver([worker], { t })
    const { page } = await open(router, t)
    const rows = page.locator('#requests tbody tr')
    const ask = (model: string) =>
      send(router.apiPort, { path: '/v1/chat/completions', json: { ...chatBody, model } })
    for (const model of ['test-model', 'nobody-has-it', 'test-model']) await ask(model)
    const shows = (count: number) =>
      eventually(async () => (await rows.count()) === count, { what: `${count} requests on the page` })
    await shows(3)
    await page.getByLabel('Show').selectOption('failed')
    await shows(1)
    assert.match(
      (await rows.first().textContent()) ?? '',
      /404 model not found: no worker serves the model "nobody-has-it"/,
    )
    await page.getByLabel('Show').selectOption('all')
    await page.locator('#requests-filter').fill(worker.url)
    await shows(2)
    await page.locator('#requests-filter').fill('')
    await page.getByRole('button', { name: 'Pause' }).click()
    await ask('test-model')
    await page.locator('.tile .note', { hasText: '4 since the start' }).waitFor()
    assert.equal(await rows.count(), 3)
    await page.getByRole('button', { name: 'Go on' }).click()
    await shows(4)
    await rows.first().getByRole('button').focus()
    await page.keyboard.press('Enter')
    await page.locator('.way', { hasText: /admitted .* sent .* end/ }).waitFor()
    // It stays open while others come.
    await ask('test-model')
    await shows(6)
    await page.keyboard.press('Enter')
    await shows(5)
  })

  test('says since when the router is away, and goes on when it is back', options, async (t) => {
    const worker = await startScriptedWorker(undefined, { t })
    const first = await routerOver([worker], { t })
    const opened = await open(first, t)
    const { page } = opened
    await page.locator('#workers .state', { hasText: 'healthy' }).waitFor()
    await first.kill()
    const connection = page.locator('#connection')
    await connection
      .getByText(/^Not connected since \d\d:\d\d:\d\d: .*This is how it was at \d\d:\d\d:\d\d/)
      .waitFor()
    assert.match((await page.getAttribute('body', 'class')) ?? '', /old/)
    const again = await routerOver([worker], {
      t,
      args: ['--prometheus-port', String(first.operationsPort)],
    })
    await connection.getByText(/^live, .*was restarted: away from \d\d:\d\d:\d\d to \d\d:\d\d:\d\d/).waitFor()
    assert.doesNotMatch((await page.getAttribute('body', 'class')) ?? '', /old/)
    await send(again.apiPort, { path: '/v1/chat/completions', json: chatBody })
    await page.locator('.tile .note', { hasText: '1 since the start' }).waitFor()
    assert.equal(await page.locator('#workers tbody tr').count(), 1)
  })

  test('shows the configuration, and what came of reading it anew', options, async (t) => {
    const router = await routerOver([await startScriptedWorker(undefined, { t })], { t })
    const { page } = await open(router, t)
    await page.locator('#config-filter').fill('queue-size')
    await page.getByText('As it was at the start').waitFor()
    assert.deepEqual(await texts(page, '#config > div:not([hidden]) > *'), ['queue-size', '100'])
    await page.getByRole('button', { name: 'Read anew' }).click()
    await page
      .locator('#config-last')
      .getByText(/^Read at \d\d:\d\d:\d\d: nothing has changed/)
      .waitFor()
  })
})
