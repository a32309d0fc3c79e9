import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { HeldBytes } from '../../http/held-bytes.ts'

const full = { code: 'buffers_full', status: 503, retryAfter: 1 }

describe('the bytes that all bodies take up', () => {
  test('are refused beyond the limit, and counted once', () => {
    let refused = 0
    const held = new HeldBytes({ limit: 100, onFull: () => refused++ })
    const [one, two] = [held.open(), held.open()]
    one.add(60)
    two.add(40)
    assert.throws(() => two.add(1), full)
    assert.deepEqual([held.held, refused], [100, 1])
    one.close()
    two.add(1)
    assert.equal(held.held, 41)
  })

  test('of one request alone are not refused: its own limit allows them', () => {
    const held = new HeldBytes({ limit: 100 })
    const one = held.open()
    one.add(90)
    one.add(90)
    assert.equal(held.held, 180)
    assert.throws(() => held.open().add(1), full)
  })

  test('of a request that has ended are taken no more', () => {
    const held = new HeldBytes({ limit: 100 })
    const one = held.open()
    one.close()
    assert.throws(() => one.add(1), { code: 'client_closed' })
    assert.equal(held.held, 0)
  })

  test('are never above the limit while there are several, and come back to 0', () => {
    const step = fc.record({ who: fc.nat(4), bytes: fc.nat(60), close: fc.boolean() })
    fc.assert(
      fc.property(fc.array(step), (steps) => {
        const held = new HeldBytes({ limit: 100 })
        const parts = Array.from({ length: 5 }, () => ({ part: held.open(), own: 0, closed: false }))
        for (const { who, bytes, close } of steps) {
          const one = parts[who]!
          if (close) {
            one.part.close()
            Object.assign(one, { own: 0, closed: true })
          } else {
            try {
              one.part.add(bytes)
              one.own += bytes
            } catch (error) {
              assert.equal((error as { code?: string }).code, one.closed ? 'client_closed' : 'buffers_full')
            }
          }
          const owns = parts.map(({ own }) => own)
          assert.equal(
            held.held,
            owns.reduce((sum, own) => sum + own, 0),
          )
          assert.ok(held.held <= Math.max(100, ...owns))
        }
        for (const { part } of parts) part.close()
        assert.equal(held.held, 0)
      }),
    )
  })
})
