/** Keys in a window of a body: all at once among its quotes, as if each were looked for. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { KeyWindow, valueAt } from '../../../http/json/key-window.ts'

const names = ['tools', 'system', 'messages', 'prompt']
const keys = names.map((name) => Buffer.from(`"${name}"`))

const places = (bytes: Buffer) => keys.map((key) => new KeyWindow(bytes, 0, keys).valueOf(key))

describe('a window', () => {
  test('finds the values that a search for each key finds, whatever strings hold', {
    timeout: 60_000,
  }, () => {
    const text = fc.stringMatching(/^(?:"|\\|:| |messages|tools|"system":|\n|x)*$/)
    const value = fc.oneof(text, fc.array(text, { maxLength: 3 }), fc.integer())
    const body = fc.dictionary(fc.constantFrom(...names, 'other', '"messages"'), value, { maxKeys: 5 })
    fc.assert(
      fc.property(body, fc.constantFrom(0, 2), (written, indent) => {
        const bytes = Buffer.from(JSON.stringify(written, undefined, indent))
        assert.deepEqual(
          places(bytes),
          keys.map((key) => valueAt(bytes, key)),
        )
      }),
      { numRuns: 500 },
    )
  })

  test('takes a name for a key only where a colon follows', () => {
    const text = '{"a":"messages","messages" : [1],"tools":2}'
    assert.deepEqual(places(Buffer.from(text)), [
      text.indexOf('2}'),
      undefined,
      text.indexOf('[1]'),
      undefined,
    ])
  })

  test('with too many quotes is searched for each key', () => {
    const text = `{${'"a":"b",'.repeat(3000)}"messages":[]}`
    assert.deepEqual(places(Buffer.from(text)), [undefined, undefined, text.indexOf('[]'), undefined])
  })
})
