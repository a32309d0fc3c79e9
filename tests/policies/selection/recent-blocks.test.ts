/** Blocks in the order in which they were used last. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { RecentBlocks } from '../../../policies/selection/recent-blocks.ts'

test('the blocks used longest ago are dropped first, whatever was used and dropped before', () => {
  const steps = fc.array(fc.oneof(fc.integer({ min: 0, max: 600 }), fc.constant('drop' as const)), {
    maxLength: 2000,
  })
  fc.assert(
    fc.property(steps, (all) => {
      const recent = new RecentBlocks()
      // A map keeps the order in which its keys were set.
      const model = new Map<number, number>()
      for (const step of all) {
        if (step === 'drop') {
          const [oldest] = model.keys()
          assert.equal(recent.dropOldest(), oldest)
          if (oldest !== undefined) model.delete(oldest)
        } else {
          const bytes = (step % 7) + 1
          assert.equal(recent.use(step, bytes), !model.delete(step))
          model.set(step, bytes)
        }
        assert.equal(recent.size, model.size)
      }
      assert.equal(
        recent.bytes,
        [...model.values()].reduce((sum, bytes) => sum + bytes, 0),
      )
      assert.deepEqual(new Set(recent.blocks()), new Set(model.keys()))
      for (const block of model.keys()) assert.equal(recent.dropOldest(), block)
      assert.equal(recent.dropOldest(), undefined)
      assert.equal(recent.bytes, 0)
    }),
    { numRuns: 50 },
  )
})
