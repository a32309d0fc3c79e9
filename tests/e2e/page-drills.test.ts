/**
 * Drills: a person who looks at nothing but the page finds within a refresh which worker is hung, which refuses work,
 * which is slow, which is dead, and which client's requests fail and why.
 */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { openPage, skipWithoutChromium, startBrowser } from '../support/browser.ts'
import { eventually } from '../support/deadline.ts'
import { chatWith, startTroubledFleet, wrongClient, wrongModel } from '../support/page-fleet.ts'
import { shared } from '../support/shared.ts'

const options = { timeout: 90_000, skip: skipWithoutChromium }

const setup = shared(async (t) => {
  const fleet = await startTroubledFleet({ t })
  chatWith(fleet, { perSecond: 6, t })
  const browser = await startBrowser(t)
  const { page, complaints } = await openPage(browser, { url: `${fleet.router.operations}/`, t })
  return { fleet, page, complaints }
})

/** Waits until a line of what needs attention is so, and the row of the worker says the same. */
async function sees(url: string, line: RegExp, state: string): Promise<void> {
  const { page } = await setup()
  const item = page.locator('#attention li', { hasText: url })
  await eventually(async () => line.test(await item.innerText()), {
    what: `${url}: ${line}`,
    withinMs: 40_000,
  })
  const row = page.locator('#workers tbody tr', { hasText: url })
  assert.equal(await row.locator('.state').textContent(), state)
}

describe('from the page alone one sees', () => {
  test('which worker is dead', options, async () => {
    const { fleet } = await setup()
    await sees(fleet.dead.url, /down: ECONNREFUSED/, 'down')
  })

  test('which one is hung', options, async () => {
    const { fleet } = await setup()
    await sees(fleet.hung.url, /hung: no answer within 0.5 s/, 'hung')
  })

  test('which one refuses work, how much of it, and until when', options, async () => {
    const { fleet, page } = await setup()
    await sees(fleet.refusing.url, /busy: refused (\d+) of \1 attempts/, 'busy')
    const row = page.locator('#workers tbody tr', { hasText: fleet.refusing.url })
    await row.locator('.why', { hasText: /asked again in \d s/ }).waitFor()
  })

  test('which one is slow, and how slow the others are', options, async () => {
    const { fleet } = await setup()
    await sees(fleet.slow.url, /slow: first token p95 [2-5]\.\d s, at the median worker \d+ ms/, 'slow')
  })

  test('which client fails, how often and why', options, async () => {
    const { page } = await setup()
    const line = page.locator('#attention li', { hasText: `client ${wrongClient}` })
    const words = await eventually(async () => await line.innerText(), {
      what: 'the client',
      withinMs: 40_000,
    })
    assert.match(words, /(\d+) of its last \1 requests failed/)
    assert.match(words, new RegExp(`404 model not found: no worker serves the model "${wrongModel}"`))
    await page.getByLabel('Show').selectOption('failed')
    await eventually(
      async () => {
        const clients = await page.locator('#requests .client').allTextContents()
        return clients.length > 0 && clients.every((client) => client === wrongClient)
      },
      { what: 'the failed requests are those of that client' },
    )
  })

  test('the sick ones before the others, and that the others are well', options, async () => {
    const { fleet, page, complaints } = await setup()
    const states = await page.locator('#workers .state').allTextContents()
    const good = states.slice(-fleet.good.length)
    assert.deepEqual(
      good,
      fleet.good.map(() => 'healthy'),
    )
    assert.deepEqual(states.slice(0, -fleet.good.length).toSorted(), ['busy', 'down', 'hung', 'slow'])
    assert.deepEqual(complaints, [])
  })
})
