/** Reads server-sent events as the HTML standard says: any line end, comments skipped, `data` lines joined. */

export interface SseEvent {
  /** `message` when the event has no `event` field. */
  readonly event: string
  readonly data: string
}

export class SseParser {
  #text = ''
  #data: string[] = []
  #event = ''
  #first = true
  readonly #decoder = new TextDecoder()
  readonly #onEvent: (event: SseEvent) => void

  constructor(onEvent: (event: SseEvent) => void) {
    this.#onEvent = onEvent
  }

  /** True when bytes of an event came whose closing blank line did not. */
  get insideEvent(): boolean {
    return this.#text !== '' || this.#data.length > 0 || this.#event !== ''
  }

  push(bytes: Uint8Array): void {
    this.#text += this.#decoder.decode(bytes, { stream: true })
    if (this.#first && this.#text !== '') {
      this.#first = false
      if (this.#text.startsWith('\uFEFF')) this.#text = this.#text.slice(1)
    }
    let start = 0
    for (;;) {
      const end = this.#lineEnd(start)
      if (end === undefined) break
      this.#line(this.#text.slice(start, end.at))
      start = end.next
    }
    this.#text = this.#text.slice(start)
  }

  /** A lone CR at the end of what came so far may be half of CRLF: it waits for the next byte. */
  #lineEnd(start: number): { at: number; next: number } | undefined {
    const lf = this.#text.indexOf('\n', start)
    const line = this.#text.slice(start, lf < 0 ? undefined : lf)
    const cr = line.indexOf('\r')
    if (cr < 0) return lf < 0 ? undefined : { at: lf, next: lf + 1 }
    const at = start + cr
    if (at + 1 === this.#text.length) return undefined
    return { at, next: at + 1 === lf ? lf + 1 : at + 1 }
  }

  #line(line: string): void {
    if (line === '') {
      this.#dispatch()
      return
    }
    const colon = line.indexOf(':')
    if (colon === 0) return
    const field = colon < 0 ? line : line.slice(0, colon)
    const value = colon < 0 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1)
    if (field === 'data') this.#data.push(value)
    else if (field === 'event') this.#event = value
  }

  #dispatch(): void {
    const event = { event: this.#event || 'message', data: this.#data.join('\n') }
    const send = this.#data.length > 0
    this.#data = []
    this.#event = ''
    if (send) this.#onEvent(event)
  }
}

export function parseSse(text: string | Uint8Array): SseEvent[] {
  const events: SseEvent[] = []
  new SseParser((event) => events.push(event)).push(typeof text === 'string' ? Buffer.from(text) : text)
  return events
}
