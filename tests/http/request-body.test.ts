/** A request's body stays in the pieces in which it came, unless they are crumbs. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { RouterError } from '../../http/errors.ts'
import { BodyCollector, type RequestBody } from '../../http/request-body.ts'

function collect(pieces: Iterable<Uint8Array>, limit = Number.MAX_SAFE_INTEGER): RequestBody {
  const collector = new BodyCollector(limit)
  for (const piece of pieces) collector.add(piece)
  return collector.body()
}

const sizes = fc.array(fc.oneof(fc.nat(3), fc.nat(5000), fc.constantFrom(4095, 4096, 65_536, 70_000)))

describe('the body of a request', () => {
  test('has all bytes in order, as pieces and as one', () => {
    fc.assert(
      fc.property(sizes, (lengths) => {
        const pieces = lengths.map((length, index) => Buffer.alloc(length, index + 1))
        const whole = Buffer.concat(pieces)
        const body = collect(pieces)
        assert.equal(body.byteLength, whole.length)
        assert.ok(Buffer.concat(body.pieces).equals(whole))
        assert.ok(Buffer.from(body.bytes()).equals(whole))
        assert.ok(Buffer.concat(body.pieces).equals(whole), 'still the same after it was joined')
      }),
    )
  })

  test('is not copied where it comes in large pieces, or in one', () => {
    const pieces = [Buffer.alloc(65_536, 1), Buffer.alloc(65_536, 2)]
    assert.deepEqual(
      collect(pieces).pieces.map((piece) => piece.buffer),
      pieces.map((piece) => piece.buffer),
    )
    const small = Buffer.from('{}')
    assert.equal(collect([small]).bytes(), small)
  })

  test('of a million bytes that came one by one is kept in few pieces', () => {
    const crumbs = Array.from({ length: 1_000_000 }, (_, index) => Uint8Array.of(index))
    const { pieces } = collect(crumbs)
    assert.ok(Buffer.concat(pieces).equals(Buffer.concat(crumbs)))
    assert.ok(pieces.length <= 16, `${pieces.length} pieces`)
  })

  test('may have exactly as many bytes as the limit, and not one more', () => {
    assert.equal(collect([Buffer.alloc(6), Buffer.alloc(4)], 10).byteLength, 10)
    assert.throws(
      () => collect([Buffer.alloc(6), Buffer.alloc(5)], 10),
      (error) => error instanceof RouterError && error.code === 'payload_too_large',
    )
  })

  test('may be empty', () => {
    assert.deepEqual(collect([]).pieces, [])
    assert.equal(collect([Buffer.alloc(0)]).bytes().byteLength, 0)
  })
})
