import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { RouterError } from '../../../http/errors.ts'
import { findJsonFault } from '../../../http/json/find-json-fault.ts'
import { parseJson } from '../../../http/json/parse-json.ts'
import { RequestBody } from '../../../http/request-body.ts'

const bodyOf = (body: string | Uint8Array) => new RequestBody([Buffer.from(body)])

function refusal(body: string | Uint8Array): RouterError {
  try {
    parseJson(bodyOf(body))
  } catch (error) {
    assert.ok(error instanceof RouterError)
    return error
  }
  assert.fail('was parsed')
}

function parses(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

/** JSON with a few characters taken out, put in or changed: mostly broken, and broken everywhere. */
const brokenJson = fc
  .tuple(
    fc.json(),
    fc.array(fc.tuple(fc.nat(), fc.nat(2), fc.constantFrom(...'{}[]:,"\\ \n\u0001u0e.-+1xtrue')), {
      maxLength: 3,
    }),
  )
  .map(([json, edits]) => {
    let text = json
    for (const [where, removed, added] of edits) {
      const at = where % (text.length + 1)
      text = text.slice(0, at) + added + text.slice(at + removed)
    }
    return text
  })

describe('the place where a body stops being JSON', () => {
  const examples: readonly (readonly [string, RegExp])[] = [
    ['{"model":"m",\n "messages" []}', /expected ":" at line 2, column 13/],
    ['{"a":1,}', /expected a key in double quotes at line 1, column 8/],
    ["{'a':1}", /expected a key in double quotes or "}" at line 1, column 2/],
    ['[1 2]', /expected "," or "\]" at line 1, column 4/],
    ['{"a":NaN}', /expected a value at line 1, column 6/],
    ['{"a":01}', /expected "," or "}" at line 1, column 7/],
    ['{"a":1.}', /expected a digit at line 1, column 8/],
    ['{"a":"x\\y"}', /expected a valid escape at line 1, column 8/],
    ['{"a":"x\ny"}', /expected an escape instead of a control character at line 1, column 8/],
    ['{"a":"x', /ends at line 1, column 8 where a closing double quote is missing/],
    ['{"a":1', /ends at line 1, column 7 where "," or "}" is missing/],
    ['\n\n', /ends at line 3, column 1 where a value is missing/],
    ['{}\r\n{}', /expected the end of the body at line 2, column 1/],
  ]
  for (const [text, message] of examples) {
    test(JSON.stringify(text), () => {
      const error = refusal(text)
      assert.equal(error.code, 'invalid_json')
      assert.match(error.message, message)
    })
  }

  test('is found exactly in the texts that the runtime cannot parse', () => {
    fc.assert(
      fc.property(fc.oneof(brokenJson, fc.string(), fc.json()), (text) => {
        const fault = findJsonFault(text)
        assert.equal(fault === undefined, parses(text))
        if (fault !== undefined) assert.ok(fault.offset >= 0 && fault.offset <= text.length)
      }),
      { numRuns: 3000 },
    )
  })

  test('lies behind everything that could still be completed', () => {
    fc.assert(
      fc.property(fc.json(), fc.nat(), (json, cut) => {
        const start = json.slice(0, cut % json.length)
        fc.pre(!parses(start))
        const fault = findJsonFault(start)
        // Words and escapes are told as a whole, from their first letter.
        assert.ok(fault !== undefined && fault.offset >= start.length - 6)
      }),
      { numRuns: 1000 },
    )
  })

  test('is told without a word of the body', () => {
    fc.assert(
      fc.property(brokenJson, fc.nat(), (json, where) => {
        const at = where % (json.length + 1)
        const text = `${json.slice(0, at)}MARKER${json.slice(at)}`
        fc.pre(!parses(text))
        assert.ok(!refusal(text).message.includes('MARKER'))
      }),
    )
  })
})

describe('bodies that are no JSON at all', () => {
  test('an empty body says so', () => {
    assert.match(refusal('').message, /empty/)
    assert.equal(refusal('').code, 'invalid_json')
  })

  test('bytes that are not UTF-8 say so, and the next body is not affected', () => {
    const broken = [
      [0x7b, 0xff, 0x7d],
      [0x22, 0xc3, 0x22],
      [0x22, 0xed, 0xa0, 0x80, 0x22],
      [0x22, 0xf0, 0x9f],
    ]
    for (const bytes of broken) {
      const error = refusal(Uint8Array.from(bytes))
      assert.equal(error.code, 'invalid_json')
      assert.match(error.message, /UTF-8/)
      assert.equal(parseJson(bodyOf('"é"')), 'é')
    }
  })

  test('a megabyte of any one character is refused without a crash', () => {
    for (const char of '[{"\\-1 \nt,') {
      const text = char.repeat(1_000_000)
      if (parses(text)) continue
      assert.ok(['invalid_json', 'invalid_request'].includes(refusal(text).code))
    }
  })
})
