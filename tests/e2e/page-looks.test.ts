/** The page for everyone: in both themes, on a narrow screen, by keyboard, with a screen reader, with a large fleet. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Page } from 'playwright-core'
import { axeViolations, openPage, skipWithoutChromium, startBrowser } from '../support/browser.ts'
import { eventually } from '../support/deadline.ts'
import { chatWith, startTroubledFleet } from '../support/page-fleet.ts'
import { percentile } from '../support/percentile.ts'
import { startRouter } from '../support/router-process.ts'
import { send } from '../support/send-all.ts'
import { shared } from '../support/shared.ts'

const options = { timeout: 90_000, skip: skipWithoutChromium }

const browser = shared((t) => startBrowser(t))

const setup = shared(async (t) => {
  const fleet = await startTroubledFleet({ good: 1, t })
  chatWith(fleet, { perSecond: 6, t })
  return fleet
})

/** All that can be on the page is on it: troubles, open rows, an answer, the result of an action. */
async function fill(page: Page): Promise<void> {
  // On a busy machine more than one worker may be.
  await page.locator('#attention li', { hasText: 'hung' }).first().waitFor()
  await page.locator('#requests .bad').first().waitFor()
  await page.getByRole('button', { name: 'Pause' }).click()
  await page.locator('#requests .open').first().click()
  await page.getByRole('button', { name: 'Send' }).click()
  await page.locator('#playground-way .way').waitFor()
}

/** How far the document is wider than the window, and what sticks out. */
function overflow(page: Page): Promise<{ readonly by: number; readonly what: readonly string[] }> {
  return page.evaluate(() => {
    const { document, innerWidth } = globalThis as unknown as {
      innerWidth: number
      document: {
        documentElement: { scrollWidth: number }
        querySelectorAll(
          all: string,
        ): Iterable<{ outerHTML: string; getBoundingClientRect(): { right: number } }>
      }
    }
    const out = [...document.querySelectorAll('body *')].filter(
      (element) => element.getBoundingClientRect().right > innerWidth + 1,
    )
    return {
      by: document.documentElement.scrollWidth - innerWidth,
      what: out.slice(0, 5).map(({ outerHTML }) => outerHTML.slice(0, 120)),
    }
  })
}

describe('the page', () => {
  for (const [theme, width] of [
    ['light', 1280],
    ['dark', 400],
  ] as const) {
    test(`has nothing that axe objects to, ${theme}, ${width} px wide`, options, async (t) => {
      const { router } = await setup()
      const url = `${router.operations}/`
      const { page, complaints } = await openPage(await browser(), { url, theme, width, t })
      await fill(page)
      assert.deepEqual(await axeViolations(page), [])
      await page
        .getByRole('button', { name: /^Remove / })
        .first()
        .click()
      assert.deepEqual(await axeViolations(page), [])
      await page.keyboard.press('Escape')
      assert.deepEqual(complaints, [])
    })
  }

  test('asks for the key so that axe has no objection', options, async (t) => {
    const router = await startRouter({ t, env: { VLLM_ROUTER_ADMIN_API_KEY: 'admin-key' } })
    const { page } = await openPage(await browser(), { url: `${router.operations}/`, t })
    await page.getByRole('dialog').waitFor()
    assert.deepEqual(await axeViolations(page), [])
  })

  test('is not wider than the screen, from 400 px on', options, async (t) => {
    const { router } = await setup()
    const { page } = await openPage(await browser(), { url: `${router.operations}/`, width: 400, t })
    await fill(page)
    for (const width of [400, 600, 1001, 1280, 1920]) {
      await page.setViewportSize({ width, height: 900 })
      assert.deepEqual(await overflow(page), { by: 0, what: [] }, `${width} px`)
    }
  })

  test('can be gone through by keyboard, each place seen', options, async (t) => {
    const { router } = await setup()
    const { page } = await openPage(await browser(), { url: `${router.operations}/`, t })
    await fill(page)
    await page.evaluate(() => {
      const { document } = globalThis as unknown as { document: { activeElement: { blur(): void } } }
      document.activeElement.blur()
    })
    const seen = new Set<string>()
    for (let step = 0; step < 60; step++) {
      await page.keyboard.press('Tab')
      const place = await page.evaluate(() => {
        const { document, getComputedStyle } = globalThis as unknown as {
          document: { activeElement: { id: string; className: string; tagName: string; textContent: string } }
          getComputedStyle(element: object): { outlineStyle: string }
        }
        const { activeElement: at } = document
        const name = at.id || at.className || at.textContent.trim()
        return { name: `${at.tagName} ${name}`, outline: getComputedStyle(at).outlineStyle }
      })
      // After the last place the browser's own come.
      if (place.name.startsWith('BODY')) continue
      seen.add(place.name)
      assert.notEqual(place.outline, 'none', place.name)
    }
    for (const name of [
      'A skip',
      'INPUT workers-filter',
      'BUTTON drain',
      'BUTTON remove',
      'INPUT requests-filter',
    ])
      assert.ok(seen.has(name), `${name} is not among ${[...seen].join(', ')}`)
  })

  test('stays fluent with 200 workers', options, async (t) => {
    const router = await startRouter({ t, args: ['--health-check-interval-secs', '1'] })
    const { page } = await openPage(await browser(), { url: `${router.operations}/`, t })
    for (let port = 1; port <= 200; port++)
      await send(router.operationsPort, { path: '/workers', json: { url: `http://127.0.0.1:${port}` } })
    const rows = page.locator('#workers tbody tr')
    await eventually(async () => (await rows.count()) === 200, { what: '200 rows', withinMs: 10_000 })
    const found = await page.evaluate(async () => {
      const { document, MutationObserver, requestAnimationFrame, performance } = globalThis as unknown as {
        document: { querySelector(selector: string): object }
        MutationObserver: new (
          on: (records: { addedNodes: { length: number } }[]) => void,
        ) => { observe(of: object, options: object): void }
        requestAnimationFrame(on: () => void): void
        performance: { now(): number }
      }
      let rebuilt = 0
      const observer = new MutationObserver((records) => {
        for (const { addedNodes } of records) rebuilt += addedNodes.length
      })
      observer.observe(document.querySelector('#workers tbody'), { childList: true })
      const gaps: number[] = []
      const end = performance.now() + 5000
      let last = performance.now()
      await new Promise<void>((resolve) => {
        const step = () => {
          const now = performance.now()
          gaps.push(now - last)
          last = now
          if (now < end) requestAnimationFrame(step)
          else resolve()
        }
        requestAnimationFrame(step)
      })
      return { rebuilt, gaps }
    })
    const [usual, longest] = [percentile(found.gaps, 0.95), Math.max(...found.gaps)]
    const words = `${found.gaps.length} frames in 5 s: 95% within ${usual.toFixed(0)} ms, the longest ${longest.toFixed(0)} ms`
    t.diagnostic(words)
    assert.equal(found.rebuilt, 0, 'rows are written to, not made anew')
    assert.ok(usual < 100, words)
  })
})
