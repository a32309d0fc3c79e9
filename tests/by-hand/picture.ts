/**
 * Makes the picture of the page that README.md shows: a router over simulated workers, one of each trouble, with some
 * load. `npm run picture` writes docs/page.png.
 *
 *   node tests/by-hand/picture.ts [--out docs/page.png] [--theme light|dark] [--width 1280] [--height 800] [--full] [--seconds 45]
 */

import { statSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { chromiumPath, openPage, startBrowser } from '../support/browser.ts'
import { pause } from '../support/deadline.ts'
import { chatWith, startTroubledFleet } from '../support/page-fleet.ts'
import type { Scope } from '../support/scope.ts'

const { values } = parseArgs({
  options: {
    out: { type: 'string', default: 'docs/page.png' },
    theme: { type: 'string', default: 'light' },
    width: { type: 'string', default: '1280' },
    height: { type: 'string', default: '800' },
    seconds: { type: 'string', default: '45' },
    full: { type: 'boolean', default: false },
  },
})

const ends: (() => unknown)[] = []
const t: Scope = { after: (work) => void ends.push(work) }

try {
  if (chromiumPath === undefined) throw new Error('there is no Chromium on this machine')
  const fleet = await startTroubledFleet({ good: 5, t })
  chatWith(fleet, { perSecond: 8, t })
  const browser = await startBrowser(t)
  const { page } = await openPage(browser, {
    url: `${fleet.router.operations}/`,
    theme: values.theme === 'dark' ? 'dark' : 'light',
    width: Number(values.width),
    height: Number(values.height),
    t,
  })
  await pause(Number(values.seconds) * 1000)
  await page.screenshot({ path: values.out, fullPage: values.full })
  process.stdout.write(`${values.out}: ${Math.round(statSync(values.out).size / 1024)} KB\n`)
} finally {
  for (const end of ends.reverse()) await end()
}
