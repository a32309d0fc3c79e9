/** One number of a body set, and nothing else changed. The names of models: tests/app/api/model-names.test.ts. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { withMore, withNumber } from '../../../http/json/top-level.ts'
import { RequestBody } from '../../../http/request-body.ts'

const key = 'priority'

/** The text in pieces that end where the numbers say. */
function bodyOf(text: string, cuts: readonly number[] = []): RequestBody {
  const bytes = Buffer.from(text)
  const ends = [...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length].toSorted((a, b) => a - b)
  return new RequestBody(ends.map((end, index) => bytes.subarray(index === 0 ? 0 : ends[index - 1], end)))
}

function textOf(body: RequestBody | undefined): string | undefined {
  return body && Buffer.from(body.bytes()).toString()
}

const space = fc.stringMatching(/^[ \n\r\t]{0,3}$/)
const cuts = fc.array(fc.nat(), { maxLength: 4 })
const names = fc.oneof(
  fc.constantFrom('messages', 'x-priority', 'pri"ority', '\\priority', '', 'prioritys'),
  fc.string(),
)
const fields = fc.array(fc.tuple(names, fc.jsonValue()), { maxLength: 5 })
const number = fc.integer({ min: -100, max: 100 })
const scalars = fc.oneof(
  fc.constantFrom('-1', '0', '1e3', '-2.5E-7', 'true', 'false', 'null', '""', '"5"', '"\\"}"', '"a, b"'),
)

/** A JSON object, with spaces wherever they may be. */
function objectOf(entries: readonly (readonly [string, string])[], gap: string): string {
  const written = entries.map(([name, value]) => `${gap}${JSON.stringify(name)}${gap}:${gap}${value}${gap}`)
  return `${gap}{${gap}${written.join(',')}}${gap}`
}

describe('a number that is not there', () => {
  test('is put at the end, whatever the body and its pieces', () => {
    fc.assert(
      fc.property(fields, space, cuts, number, (own, gap, ends, value) => {
        const text = objectOf(
          own.map(([name, json]) => [name, JSON.stringify(json)]),
          gap,
        )
        const changed = textOf(withMore(bodyOf(text, ends), key, value))
        const field = `${own.length === 0 ? '' : ','}"priority":${value}`
        const at = text.lastIndexOf('}')
        assert.equal(changed, text.slice(0, at) + field + text.slice(at))
        assert.equal(JSON.parse(changed).priority, value)
      }),
    )
  })

  test('is not put into what does not end as an object does', () => {
    for (const text of ['', '   ', '[]', '{} x', '"}"', '5'])
      assert.equal(withMore(bodyOf(text), key, 1), undefined, text)
  })
})

describe('a number in place of another value', () => {
  test('takes the place of its bytes, at the top level only', () => {
    fc.assert(
      fc.property(fields, fields, scalars, space, cuts, number, (before, after, was, gap, ends, value) => {
        const written = (list: typeof before): [string, string][] =>
          list
            .filter(([name]) => name !== key)
            .map(([name, json]) => [name, JSON.stringify({ priority: json })])
        const text = (now: string) => objectOf([...written(before), [key, now], ...written(after)], gap)
        const changed = textOf(withNumber(bodyOf(text(was), ends), key, value))
        assert.equal(changed, text(String(value)))
      }),
    )
  })

  test('is that of the last key of two, also of one that is written with escapes', () => {
    for (const [text, expected] of [
      ['{"priority":1,"priority":2}', '{"priority":1,"priority":9}'],
      ['{"priority":1,"prior\\u0069ty":2}', '{"priority":1,"prior\\u0069ty":9}'],
      ['{"prior\\u0069ty":"1"}', '{"prior\\u0069ty":9}'],
    ] as const)
      assert.equal(textOf(withNumber(bodyOf(text), key, 9)), expected)
  })

  test('is not given where there is none, or an object or an array', () => {
    for (const text of [
      '{}',
      '{"a":{"priority":1}}',
      '{"priority":{}}',
      '{"priority":[1]}',
      '{"priority":1,"priority":[]}',
    ])
      assert.equal(withNumber(bodyOf(text), key, 9), undefined, text)
  })

  test('is not looked for in more than a million steps', () => {
    const text = `{"a":[${'1,'.repeat(2_000_000)}1],"priority":1}`
    const startedAt = performance.now()
    assert.equal(withNumber(bodyOf(text), key, 9), undefined)
    assert.ok(performance.now() - startedAt < 2000)
  })
})
