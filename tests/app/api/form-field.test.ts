/** One field of a multipart form is found without reading the files in it. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { formField as formFieldOf } from '../../../app/api/form-field.ts'
import { RequestBody } from '../../../http/request-body.ts'

const contentType = 'multipart/form-data; boundary=B0'

function formField(
  bytes: Uint8Array | undefined,
  type: string | undefined,
  name: string,
): string | undefined {
  return formFieldOf(bytes && new RequestBody([bytes]), type, name)
}

interface Part {
  readonly disposition: string
  readonly value: string | Uint8Array
  readonly more?: string
}

function form(parts: readonly Part[], boundary = 'B0'): Buffer {
  const pieces = parts.flatMap(({ disposition, value, more = '' }) => [
    Buffer.from(`--${boundary}\r\nContent-Disposition: form-data; ${disposition}\r\n${more}\r\n`),
    Buffer.from(value),
    Buffer.from('\r\n'),
  ])
  return Buffer.concat([...pieces, Buffer.from(`--${boundary}--\r\n`)])
}

const audio: Part = {
  disposition: 'name="file"; filename="speech.wav"',
  value: Buffer.from([0x52, 0x49, 0x46, 0x46, 0, 255, 13, 10, 13, 10, 34]),
  more: 'Content-Type: audio/wav\r\n',
}
const model: Part = { disposition: 'name="model"', value: 'whisper-1' }

describe('the model', () => {
  test('is found before the file and behind it', () => {
    assert.equal(formField(form([model, audio]), contentType, 'model'), 'whisper-1')
    assert.equal(formField(form([audio, model]), contentType, 'model'), 'whisper-1')
  })

  test('is found whatever header the part has besides', () => {
    const parts = [{ ...model, more: 'Content-Type: text/plain; charset=utf-8\r\n' }]
    assert.equal(formField(form(parts), contentType, 'model'), 'whisper-1')
  })

  test('may be empty, and may be any text', () => {
    assert.equal(formField(form([{ ...model, value: '' }]), contentType, 'model'), '')
    assert.equal(formField(form([{ ...model, value: 'größe/🙂' }]), contentType, 'model'), 'größe/🙂')
  })

  test('is found with a quoted boundary, further parameters and in any case', () => {
    for (const type of [
      'multipart/form-data; boundary="B0"',
      'Multipart/Form-Data; charset=utf-8; Boundary=B0',
      'multipart/form-data;boundary=B0; charset=utf-8',
    ]) {
      assert.equal(formField(form([model, audio]), type, 'model'), 'whisper-1', type)
    }
  })

  test('is found without quotes and behind another parameter', () => {
    for (const disposition of ['name=model', 'filename="a; b"; name="model"', 'NAME="model"']) {
      assert.equal(
        formField(form([{ ...model, disposition }]), contentType, 'model'),
        'whisper-1',
        disposition,
      )
    }
  })

  test('is not the name of a file', () => {
    const file = { ...audio, disposition: 'name="file"; filename="model"' }
    assert.equal(formField(form([file, model]), contentType, 'model'), 'whisper-1')
    assert.equal(formField(form([file]), contentType, 'model'), undefined)
  })

  test('is not what a file has in it', () => {
    const file = { ...audio, value: 'x; name="model"\r\n\r\nevil\r\n' }
    assert.equal(formField(form([file, model]), contentType, 'model'), 'whisper-1')
    assert.equal(formField(form([file]), contentType, 'model'), undefined)
  })

  test('is not the beginning or the end of another field’s name', () => {
    const others = ['name="model_name"', 'name="my_model"', 'name="a"; x-name="model"']
    for (const disposition of others) {
      assert.equal(
        formField(form([{ disposition, value: 'x' }]), contentType, 'model'),
        undefined,
        disposition,
      )
    }
  })

  test('is not looked for in anything that is no form', () => {
    const body = form([model])
    for (const type of [undefined, '', 'application/json', 'multipart/mixed; boundary=B0']) {
      assert.equal(formField(body, type, 'model'), undefined)
    }
    assert.equal(formField(undefined, contentType, 'model'), undefined)
    assert.equal(formField(body, 'multipart/form-data', 'model'), undefined, 'a form without a boundary')
  })

  test('is not there when it is longer than any name', () => {
    assert.equal(formField(form([{ ...model, value: 'm'.repeat(10_000) }]), contentType, 'model'), undefined)
  })

  test('is not there when the body is cut off in it', () => {
    const body = form([model])
    for (let length = 0; length < body.indexOf('whisper-1') + 9; length++) {
      assert.equal(formField(body.subarray(0, length), contentType, 'model'), undefined)
    }
  })
})

test('a field is found among any others, in a view into a larger buffer', () => {
  const value = fc.string({ unit: 'grapheme', maxLength: 50 }).filter((text) => !/[\r\n]/.test(text))
  const file = fc.uint8Array({ maxLength: 200 }).map((bytes): Part => ({ ...audio, value: bytes }))
  const field = value.map((text): Part => ({ disposition: 'name="prompt"', value: text }))
  fc.assert(
    fc.property(fc.array(fc.oneof(file, field)), value, fc.nat(20), (others, wanted, at) => {
      const parts = [...others]
      parts.splice(at, 0, { disposition: 'name="model"', value: wanted })
      const body = Buffer.concat([Buffer.alloc(7, 'x'), form(parts), Buffer.alloc(7, 'x')])
      const view = new Uint8Array(body.buffer, body.byteOffset + 7, body.length - 14)
      assert.equal(formField(view, contentType, 'model'), wanted)
    }),
  )
})
