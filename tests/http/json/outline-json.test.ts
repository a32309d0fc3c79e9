/** Large bodies are looked at without their long strings: the structure must be the same, and so must the verdict. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import type { JsonValue } from '../../../http/json/json.ts'
import { outlineJson } from '../../../http/json/outline-json.ts'
import { parseJson, readJson } from '../../../http/json/parse-json.ts'
import { RequestBody } from '../../../http/request-body.ts'

const longest = 1024

function parseOutlined(body: RequestBody): JsonValue {
  const read = readJson(body, true)
  assert.ok(!(read instanceof Promise))
  return read.value
}

/** What the outline should be: `_` for each string that takes more than so many bytes between its quotes. */
function shortened(value: JsonValue): JsonValue {
  if (typeof value === 'string') return Buffer.byteLength(JSON.stringify(value)) - 1 > longest ? '_' : value
  if (Array.isArray(value)) return value.map(shortened)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, shortened(one as JsonValue)]))
}

const piece = fc.constantFrom(
  'plain text, ',
  '"quoted" ',
  '\\',
  '\\"',
  'é',
  '😀',
  '{[',
  '\n',
  '\u2028',
  'x'.repeat(50),
)
const long = fc
  .tuple(fc.array(piece, { minLength: 1, maxLength: 8 }), fc.integer({ min: 1, max: 600 }))
  .map(([pieces, times]) => `${'0'.repeat(900)}${pieces.join('').repeat(times)}`)
const document = fc.record({
  model: fc.string(),
  messages: fc.array(
    fc.record({ role: fc.constantFrom('user', 'system'), content: fc.oneof(long, fc.string()) }),
    {
      minLength: 1,
      maxLength: 6,
    },
  ),
  padding: fc.constant('p'.repeat(40_000)),
  n: fc.double({ noNaN: true, noDefaultInfinity: true }),
  stream: fc.boolean(),
})

/** Where a body is cut into pieces as it comes: anywhere, within characters and behind backslashes too. */
const cuts = fc.array(fc.nat(), { maxLength: 6 })

const bytesOf = (text: string): Buffer => Buffer.from(text)
const bodyOf = (text: string): RequestBody => new RequestBody([bytesOf(text)])

function inPieces(bytes: Buffer, at: readonly number[]): RequestBody {
  const places = at.map((place) => place % bytes.length).sort((a, b) => a - b)
  const pieces = [...places, bytes.length].map((end, index) => bytes.subarray(places[index - 1] ?? 0, end))
  return new RequestBody(pieces.filter((one) => one.length > 0))
}

describe('the outline of a large body', () => {
  test('has the structure of the body', () => {
    fc.assert(
      fc.property(document, fc.boolean(), cuts, (value, spaced, at) => {
        const text = JSON.stringify(value, null, spaced ? 2 : undefined)
        const body = inPieces(bytesOf(text), at)
        const got = parseOutlined(body)
        const whole = JSON.parse(text) as JsonValue
        // Where there are too many quotes to be worth it, the body is parsed as it is.
        assert.deepEqual(got, outlineJson(body) === undefined ? whole : shortened(whole))
      }),
      { numRuns: 100 },
    )
  })

  test('is taken of a long prompt, and leaves it out', () => {
    const body = bodyOf(JSON.stringify({ model: 'm', prompt: 'word '.repeat(50_000) }))
    assert.equal(outlineJson(body), '{"model":"m","prompt":"_"}')
  })

  test('accepts the byte order mark that the whole parser accepts', () => {
    const body = bodyOf(`\uFEFF${JSON.stringify({ model: 'm', prompt: 'word '.repeat(20_000) })}`)
    assert.deepEqual(parseOutlined(body), parseJson(body))
  })

  test('keeps a short string that a piece ends in, and leaves out a long one', () => {
    const text = JSON.stringify({ prompt: 'word '.repeat(20_000), model: 'a "model"', suffix: 'end' })
    for (const place of [
      text.indexOf('model') + 2,
      text.indexOf('\\"model') + 1,
      text.indexOf('word') + 50,
    ]) {
      const body = inPieces(bytesOf(text), [place])
      assert.deepEqual(parseOutlined(body), { prompt: '_', model: 'a "model"', suffix: 'end' })
    }
  })

  test('is not taken of what is parsed faster than searched', () => {
    const many = bodyOf(
      JSON.stringify({ model: 'm', input: Array.from({ length: 5000 }, (_, i) => `text ${i}`) }),
    )
    assert.equal(outlineJson(many), undefined)
    assert.equal(outlineJson(bodyOf('{"prompt":"short"}')), undefined)
  })

  const prompt = JSON.stringify('word '.repeat(20_000))
  const wrong: [what: string, bytes: Buffer][] = [
    ['an unterminated string', bytesOf(`{"model":"m","prompt":${prompt.slice(0, -1)}`)],
    ['a missing brace', bytesOf(`{"model":"m","prompt":${prompt}`)],
    ['a comma too many', bytesOf(`{"model":"m","prompt":${prompt},}`)],
    ['something behind it', bytesOf(`{"model":"m","prompt":${prompt}} {}`)],
    [
      'bytes that are no UTF-8',
      Buffer.concat([bytesOf(`{"prompt":${prompt},"model":"`), Buffer.from([0xff]), bytesOf('"}')]),
    ],
  ]
  for (const [what, bytes] of wrong) {
    test(`refuses ${what} as the whole would be refused, in the same words`, () => {
      const body = new RequestBody([bytes])
      let expected: unknown
      try {
        parseJson(body)
      } catch (error) {
        expected = error
      }
      assert.ok(expected instanceof Error)
      assert.throws(() => parseOutlined(body), { name: expected.name, message: expected.message })
    })
  }
})
