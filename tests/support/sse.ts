/**
 * Random but valid server-sent events and JSON bodies, for property tests (fast-check), and ways to cut bytes.
 * The parser itself is in `sse-parser.ts`, which does not load fast-check.
 */

import fc from 'fast-check'
import type { SseEvent } from './sse-parser.ts'

export { parseSse, type SseEvent, SseParser } from './sse-parser.ts'

export interface SseStream {
  readonly bytes: Buffer
  /** What a reader must find in `bytes`. */
  readonly events: readonly SseEvent[]
  /** Offsets in `bytes` right after each event's blank line, the last one included. */
  readonly boundaries: readonly number[]
}

export interface SseStreamOptions {
  /** Events that are not content: comments, `id` and `retry` fields, CRLF, several data lines. Default true. */
  readonly odd?: boolean
  /** Ends with `data: [DONE]`. Default true. */
  readonly done?: boolean
}

/** Text without line breaks: ASCII, letters outside it, and things that look like syntax. */
const text = fc.oneof(
  fc.string({ maxLength: 40 }),
  fc.string({ unit: 'grapheme', maxLength: 20 }),
  fc.constantFrom('', ' ', ':', 'data: x', '[DONE]', '{"a":1}', '\u2028', 'ü', '🙂'),
)
const line = text.map((value) => value.replace(/[\r\n\uFEFF\uD800-\uDFFF]/gu, '_'))

const tokenEvent = line.map(
  (content): SseEvent => ({
    event: 'message',
    data: JSON.stringify({ object: 'chat.completion.chunk', choices: [{ index: 0, delta: { content } }] }),
  }),
)

const oddEvent = fc.record(
  {
    event: fc.constantFrom('message', 'ping', 'content_block_delta'),
    data: fc.array(line, { minLength: 1, maxLength: 3 }).map((lines) => lines.join('\n')),
  },
  { noNullPrototype: true },
)

/** What surrounds an event without changing it. */
const spelling = fc.record({
  comment: fc.option(line, { nil: undefined, freq: 4 }),
  id: fc.option(line, { nil: undefined, freq: 4 }),
  space: fc.boolean(),
  end: fc.constantFrom('\n', '\n', '\n', '\r\n'),
})
const plainSpelling = fc.constant({ comment: undefined, id: undefined, space: true, end: '\n' })

function spell(
  { event, data }: SseEvent,
  how: { comment?: string | undefined; id?: string | undefined; space: boolean; end: string },
): string {
  const field = (name: string, value: string): string =>
    `${name}:${how.space || value.startsWith(' ') ? ' ' : ''}${value}`
  const lines = [
    ...(how.comment === undefined ? [] : [`:${how.comment}`]),
    ...(how.id === undefined ? [] : [field('id', how.id)]),
    ...(event === 'message' ? [] : [field('event', event)]),
    ...data.split('\n').map((value) => field('data', value)),
  ]
  return `${lines.join(how.end)}${how.end}${how.end}`
}

/** A whole stream of 1 to 30 events. */
export function sseStream({ odd = true, done = true }: SseStreamOptions = {}): fc.Arbitrary<SseStream> {
  const event = odd ? fc.oneof({ weight: 3, arbitrary: tokenEvent }, oddEvent) : tokenEvent
  const spelled = fc.tuple(event, odd ? spelling : plainSpelling)
  return fc.array(spelled, { minLength: 1, maxLength: 30 }).map((list) => {
    const events = list.map(([value]) => value)
    const pieces = list.map(([value, how]) => Buffer.from(spell(value, how)))
    if (done) {
      events.push({ event: 'message', data: '[DONE]' })
      pieces.push(Buffer.from('data: [DONE]\n\n'))
    }
    let end = 0
    const boundaries = pieces.map((piece) => {
      end += piece.length
      return end
    })
    return { bytes: Buffer.concat(pieces), events, boundaries }
  })
}

export type Chunking = (bytes: Uint8Array) => Uint8Array[]

/** Ways to cut bytes in pieces: tiny, large, whole, mixed. The pieces are never empty and together the same bytes. */
export function chunking(): fc.Arbitrary<Chunking> {
  const sizes = fc.oneof(
    fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 50 }),
    fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 50 }),
    fc.constant([1]),
    fc.constant([Number.MAX_SAFE_INTEGER]),
  )
  return sizes.map((list) => {
    const cut = (bytes: Uint8Array): Uint8Array[] => cutIn(bytes, list)
    // What fast-check prints when a property fails.
    return Object.assign(cut, {
      [fc.toStringMethod]: () => `pieces of ${list.join(', ')} bytes, over and over`,
    })
  })
}

function cutIn(bytes: Uint8Array, sizes: readonly number[]): Uint8Array[] {
  const pieces: Uint8Array[] = []
  for (let start = 0, index = 0; start < bytes.length; index++) {
    const size = sizes[index % sizes.length] ?? 1
    pieces.push(bytes.subarray(start, start + size))
    start += size
  }
  return pieces
}

export interface JsonBodyOptions {
  /** Fields that the body has besides the unknown ones, each as JSON text. */
  readonly fields?: Readonly<Record<string, string>>
}

const chatFields = { model: '"test-model"', messages: '[{"role":"user","content":"hi"}]' }

const blank = fc.oneof(
  { weight: 4, arbitrary: fc.constant('') },
  fc.constantFrom(' ', '  ', '\n', '\t', '\r\n  ', '   \n'),
)
const numberText = fc.oneof(
  fc.constantFrom(
    '1e0',
    '1.50',
    '-0',
    '0.0',
    '1E+2',
    '10000000000000000000001',
    '0.1e-7',
    '123.4500',
    '-0.0',
  ),
  fc.integer().map(String),
)
const stringText = line.chain((value) =>
  fc.boolean().map((escaped) => (escaped ? escapeAll(value) : JSON.stringify(value))),
)

/** Every character as a unicode escape: the same string for a JSON reader, other bytes. */
function escapeAll(value: string): string {
  const codes = Array.from({ length: value.length }, (_, at) =>
    value.charCodeAt(at).toString(16).padStart(4, '0'),
  )
  return `"${codes.map((code) => `\\u${code}`).join('')}"`
}

const { value: jsonText } = fc.letrec<{ value: string }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.constantFrom('null', 'true', 'false'),
    numberText,
    stringText,
    fc
      .tuple(blank, fc.array(tie('value'), { maxLength: 3 }), blank)
      .map(([before, items, after]) => `[${before}${items.join(`${after},${before}`)}${after}]`),
    fc
      .tuple(blank, fc.array(fc.tuple(stringText, tie('value')), { maxLength: 3 }), blank)
      .map(([before, entries, after]) => {
        const fields = entries.map(([key, value]) => `${key}${after}:${before}${value}`)
        return `{${before}${fields.join(`${after},${before}`)}${after}}`
      }),
  ),
}))

/**
 * Bodies of valid requests in spellings that a JSON reader followed by a writer would not give back: any order of keys,
 * odd numbers, needless escapes, white space, unknown fields. By default a chat request.
 */
export function jsonBodyBytes({ fields = chatFields }: JsonBodyOptions = {}): fc.Arbitrary<Buffer> {
  const known = Object.entries(fields).map(([key, value]) => [JSON.stringify(key), value] as const)
  const unknown = fc.array(
    fc.tuple(
      fc.integer({ min: 0, max: 99 }).map((n) => `"x_${n}"`),
      jsonText,
    ),
    { maxLength: 5 },
  )
  const number = numberText.map((value) => ['"seed_hint"', value] as const)
  return fc
    .tuple(unknown, number, blank, blank, fc.infiniteStream(fc.nat()))
    .map(([extra, odd, before, after, order]) => {
      const keyed = [...known, odd, ...extra].map((entry) => ({ entry, key: order.next().value ?? 0 }))
      const entries = keyed.sort((a, b) => a.key - b.key).map(({ entry }) => entry)
      const text = entries
        .map(([key, value]) => `${key}${after}:${before}${value}`)
        .join(`${before},${after}`)
      return Buffer.from(`${before}{${after}${text}${before}}${after}`)
    })
}
