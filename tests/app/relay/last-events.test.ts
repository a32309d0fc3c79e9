import { strictEqual } from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { LastEvents } from '../../../app/relay/last-events.ts'

const kept = 16 * 1024

describe('the last events of a stream', () => {
  it('are its last two chunks, whatever came before, and only the ends of large ones', () => {
    const size = fc.oneof(fc.nat(600), fc.nat(5000), fc.integer({ min: kept - 2, max: kept + 600 }))
    fc.assert(
      fc.property(fc.array(size, { maxLength: 8 }), (sizes) => {
        const last = new LastEvents()
        // One buffer for all: what is kept must be a copy.
        const lent = Buffer.alloc(kept + 600)
        const chunks = sizes.map((bytes, number) => Buffer.alloc(bytes, 0x61 + number))
        for (const chunk of chunks) {
          chunk.copy(lent)
          last.keep(lent.subarray(0, chunk.length))
        }
        const expected = Buffer.concat(chunks.slice(-2).map((chunk) => chunk.subarray(-kept)))
        strictEqual(last.bytes.toString('latin1'), expected.toString('latin1'))
      }),
    )
  })
})
