/** A form is read only where every reader of it finds the same: a model that is hidden in it must not slip through. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { isForm, valuesInForm } from '../../../app/api/strict-form.ts'
import { RequestBody } from '../../../http/request-body.ts'

const type = 'multipart/form-data; boundary=B0'
const values = (bytes: Uint8Array | string, contentType = type) =>
  valuesInForm(new RequestBody([Buffer.from(bytes as string)]), contentType, 'model')

interface Part {
  readonly head: string
  readonly value: string | Uint8Array
}

function form(parts: readonly Part[], { before = '', end = '\r\n--B0--\r\n' } = {}): Buffer {
  const pieces = parts.flatMap(({ head, value }, at) => [
    Buffer.from(`${at === 0 ? before : '\r\n'}--B0\r\n${head}\r\n\r\n`),
    Buffer.from(value as string),
  ])
  return Buffer.concat([...pieces, Buffer.from(end)])
}

const named = (name: string, value: string | Uint8Array): Part => ({
  head: `Content-Disposition: form-data; name="${name}"`,
  value,
})
const file: Part = {
  head: 'Content-Disposition: form-data; name="file"; filename="speech (1).wav"\r\nContent-Type: audio/wav',
  value: Buffer.from([0x52, 0, 255, 13, 10, 13, 10, 34, 45, 45]),
}

describe('a form as clients write it', () => {
  test('gives every value of the field, in order', () => {
    assert.deepEqual(values(form([named('model', 'a'), file])), ['a'])
    assert.deepEqual(values(form([file, named('model', 'größe/🙂')])), ['größe/🙂'])
    assert.deepEqual(values(form([named('model', 'a'), named('model', 'b')])), ['a', 'b'])
    assert.deepEqual(values(form([file])), [])
    assert.deepEqual(values(form([named('model', '')])), [''])
    assert.deepEqual(values(form([named('model', 'a')], { end: '\r\n--B0--' })), ['a'])
  })

  test('may have a quoted boundary, other heads, and letters of any case', () => {
    const more = {
      head: `content-disposition: form-data; name="model"\r\ncontent-transfer-encoding: 8bit`,
      value: 'a',
    }
    assert.deepEqual(values(form([more]), 'Multipart/Form-Data; boundary="B0"'), ['a'])
    const utf8 = `Content-Disposition: form-data; name="file"; filename="x.wav"; filename*=UTF-8''%e2%82%ac.wav`
    assert.deepEqual(values(form([{ head: utf8, value: 'x' }, named('model', 'a')])), ['a'])
  })

  test('may be in the way of a URL', () => {
    const urlEncoded = 'application/x-www-form-urlencoded'
    assert.deepEqual(values('x=1&model=org%2Fa+b&model=c', urlEncoded), ['org/a b', 'c'])
    assert.deepEqual(values('x=1', `${urlEncoded}; charset=utf-8`), [])
  })

  test('is read whatever its parts are', () => {
    const text = fc
      .string({ unit: fc.constantFrom(...'a\r\n-"B=;:/é'), maxLength: 30 })
      .filter((value) => !value.includes('--B0'))
    const name = fc.constantFrom('model', 'file', 'model2', 'stream', '')
    const part = fc.record({ name, value: text, file: fc.boolean() })
    fc.assert(
      fc.property(fc.array(part, { minLength: 1, maxLength: 5 }), (parts) => {
        const heads = parts.map(({ name: own, value, file: isFile }) => ({
          head: `Content-Disposition: form-data; name="${own}"${isFile ? '; filename="a"\r\nContent-Type: audio/wav' : ''}`,
          value,
        }))
        const expected = parts.filter(({ name: own }) => own === 'model').map(({ value }) => value)
        assert.deepEqual(values(form(heads)), expected)
      }),
      { numRuns: 500 },
    )
  })
})

describe('a form that could be read in two ways', () => {
  const model = named('model', 'allowed')
  const head = (...lines: readonly string[]): Part => ({ head: lines.join('\r\n'), value: 'other' })
  const disguised: Readonly<Record<string, Buffer>> = {
    'a name without quotes': form([model, head('Content-Disposition: form-data; name=model')]),
    'a name with an escape': form([model, head('Content-Disposition: form-data; name="mo\\del"')]),
    'a name in another encoding': form([model, head(`Content-Disposition: form-data; name*=utf-8''model`)]),
    'two names': form([model, head('Content-Disposition: form-data; name="x"; name="model"')]),
    'a name within a file name': form([
      model,
      head('Content-Disposition: form-data; name="x"; filename="a\\"; name=\\"model"'),
    ]),
    'two dispositions': form([
      model,
      head('Content-Disposition: form-data; name="x"', 'Content-Disposition: form-data; name="model"'),
    ]),
    'no disposition': form([model, head('Content-Type: text/plain')]),
    'a folded line': form([model, head('Content-Disposition: form-data;', ' name="model"')]),
    'a blank before the colon': form([model, head('Content-Disposition : form-data; name="model"')]),
    'another transfer encoding': form([
      model,
      head('Content-Disposition: form-data; name="model"', 'Content-Transfer-Encoding: base64'),
    ]),
    'bytes before the first part': form([model], { before: 'x\r\n' }),
    'an empty line before the first part': form([model], { before: '\r\n' }),
    'bytes behind the end': form([model], { end: '\r\n--B0--\r\nx' }),
    'a form behind the end': form([model], { end: `\r\n--B0--\r\n${form([named('model', 'other')])}` }),
    'no end': form([model], { end: '' }),
    'a delimiter that goes on': form([
      named('x', 'a\r\n--B01\r\nContent-Disposition: form-data; name="model"\r\n\r\nallowed'),
    ]),
    'a delimiter with blanks': form([model], {
      end: '\r\n--B0 \r\nContent-Disposition: form-data; name="model"\r\n\r\nother\r\n--B0--',
    }),
    'line ends without a carriage return': Buffer.from(form([model]).toString().replaceAll('\r\n', '\n')),
    'a value that is too long': form([named('model', 'x'.repeat(5000))]),
    nothing: Buffer.alloc(0),
  }
  for (const [what, bytes] of Object.entries(disguised))
    test(`is not read: ${what}`, () => {
      assert.equal(values(bytes), undefined)
    })

  test('is not read: a content type with more than one boundary, or something beside it', () => {
    for (const other of [
      'multipart/form-data; boundary=B0; boundary=B1',
      'multipart/form-data; charset=utf-8; boundary=B0',
      'multipart/form-data; boundary=B0, multipart/form-data; boundary=B1',
      'multipart/form-data;boundary= B0',
      'multipart/form-data',
      'multipart/mixed; boundary=B0',
    ]) {
      assert.ok(isForm(other))
      assert.equal(values(form([model]), other), undefined, other)
    }
  })

  test('is not read: a semicolon between values, which some readers take for an ampersand', () => {
    const urlEncoded = 'application/x-www-form-urlencoded'
    assert.equal(values('model=allowed&x=1;model=other', urlEncoded), undefined)
    assert.equal(values(`x=${'a'.repeat(70_000)}&model=other`, urlEncoded), undefined)
    assert.equal(values('model=allowed', `${urlEncoded}; charset=utf-16`), undefined)
  })
})
