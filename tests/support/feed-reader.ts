/** The feed of the page, read as a browser reads it. */

import type { Frame } from '../../app/operations/fleet-feed.ts'
import { within } from './deadline.ts'
import type { Scope } from './scope.ts'
import { SseParser } from './sse-parser.ts'

export interface FeedReader {
  /** The next event, 5 s at the latest. */
  next(): Promise<Frame>
  /** Everything that has come, as it came. */
  readonly text: string
  /** Resolves when the router has ended the feed. */
  readonly ended: Promise<void>
  leave(): void
}

export async function readFeed(
  operations: string,
  { key, t }: { readonly key?: string; readonly t: Scope },
): Promise<FeedReader> {
  const controller = new AbortController()
  t.after(() => controller.abort())
  const headers: Record<string, string> = key === undefined ? {} : { authorization: `Bearer ${key}` }
  const response = await within(
    5000,
    fetch(`${operations}/events`, { headers, signal: controller.signal }),
    'head',
  )
  if (response.status !== 200) throw new Error(`GET /events: ${response.status} ${await response.text()}`)
  const frames: Frame[] = []
  let wake = () => {}
  let text = ''
  const parser = new SseParser(({ event, data }) => {
    if (event !== 'message') return
    frames.push(JSON.parse(data) as Frame)
    wake()
  })
  const ended = (async () => {
    const decoder = new TextDecoder()
    for await (const bytes of response.body!) {
      text += decoder.decode(bytes, { stream: true })
      parser.push(bytes)
    }
  })().catch(() => {})
  return {
    async next() {
      if (frames.length === 0) {
        const more = new Promise<void>((resolve) => {
          wake = resolve
        })
        await within(5000, more, 'an event of the feed')
      }
      return frames.shift()!
    },
    get text() {
      return text
    },
    ended,
    leave: () => controller.abort(),
  }
}
