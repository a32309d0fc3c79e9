/** A headless Chromium of the system, and one page of it with everything that it says and asks for. */

import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { type Browser, chromium, type Page } from 'playwright-core'
import type { Scope } from './scope.ts'

const places = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome']

/** Undefined: there is none on this machine. */
export const chromiumPath: string | undefined = places.find((place) => existsSync(place))

/** What a test says that needs it and is skipped. */
export const skipWithoutChromium: string | false =
  chromiumPath === undefined ? `no Chromium at ${places.join(', ')}: the page is not tried` : false

/** Every test runs as root in a container: the sandbox of the browser would not start there. */
export async function startBrowser(t: Scope): Promise<Browser> {
  const browser = await chromium.launch({ executablePath: chromiumPath!, args: ['--no-sandbox'] })
  t.after(() => browser.close())
  return browser
}

export interface PageOptions {
  readonly url: string
  readonly theme?: 'light' | 'dark'
  readonly width?: number
  readonly height?: number
  readonly t: Scope
}

export interface WatchedPage {
  readonly page: Page
  /** Errors and warnings of its console, exceptions, requests that its policy has refused. */
  readonly complaints: readonly string[]
  /** Addresses of all its requests. */
  readonly asked: readonly string[]
}

export async function openPage(
  browser: Browser,
  { url, theme = 'light', width = 1280, height = 900, t }: PageOptions,
): Promise<WatchedPage> {
  const context = await browser.newContext({ colorScheme: theme, viewport: { width, height } })
  t.after(() => context.close())
  const page = await context.newPage()
  const complaints: string[] = []
  const asked: string[] = []
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) complaints.push(message.text())
  })
  page.on('pageerror', (error) => complaints.push(String(error)))
  page.on('request', (request) => asked.push(request.url()))
  await page.goto(url)
  return { page, complaints, asked }
}

export interface Violation {
  readonly id: string
  readonly nodes: readonly string[]
}

const axeSource = createRequire(import.meta.url).resolve('axe-core/axe.min.js')

/** What axe objects to, dialogs that are open included. */
export async function axeViolations(page: Page): Promise<readonly Violation[]> {
  // Not as a script of the document: its policy allows none from elsewhere, and is to stay as it is.
  await page.evaluate(readFileSync(axeSource, 'utf8'))
  return await page.evaluate(async () => {
    const { axe } = globalThis as unknown as {
      axe: {
        run(): Promise<{ violations: { id: string; nodes: { html: string; failureSummary: string }[] }[] }>
      }
    }
    const { violations } = await axe.run()
    return violations.map(({ id, nodes }) => ({
      id,
      nodes: nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`),
    }))
  })
}
