/** The simulated prefix cache holds exactly the shared beginnings of prompts, in whole blocks of 64 characters. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { PrefixCache } from '../../sim/prefix-cache.ts'

const tokensOf = (prompt: string) => Math.max(1, Math.ceil(prompt.length / 4))

/** Prompts made of few different blocks, so that beginnings are often shared. */
const prompt = fc
  .tuple(fc.array(fc.constantFrom('a', 'b'), { maxLength: 6 }), fc.integer({ min: 0, max: 63 }))
  .map(([letters, rest]) => letters.map((letter) => letter.repeat(64)).join('') + 'r'.repeat(rest))

test('what is cached is the longest beginning shared with an earlier prompt of the model', () => {
  const entry = fc.record({ model: fc.constantFrom('m', 'n'), prompt })
  fc.assert(
    fc.property(fc.array(entry, { maxLength: 30 }), (entries) => {
      const cache = new PrefixCache(10_000)
      const seen = new Set<string>()
      for (const { model, prompt } of entries) {
        const starts = Array.from({ length: Math.floor(prompt.length / 64) }, (_, at) =>
          prompt.slice(0, (at + 1) * 64),
        )
        const shared = starts.filter((start) => seen.has(model + start)).length
        const most = Math.floor((tokensOf(prompt) - 1) / 16)
        assert.equal(cache.admit(model, prompt, tokensOf(prompt)), Math.min(shared, most) * 16)
        for (const start of starts) seen.add(model + start)
      }
    }),
  )
})

test('the least recently used blocks go first, and counters stay after a reset', () => {
  const cache = new PrefixCache(2)
  const [a, b, c] = ['a', 'b', 'c'].map((letter) => letter.repeat(68)) as [string, string, string]
  const admit = (text: string) => cache.admit('m', text, tokensOf(text))
  assert.deepEqual([admit(a), admit(b), admit(a)], [0, 0, 16])
  assert.deepEqual([admit(c), admit(a), admit(b)], [0, 16, 0])
  cache.reset()
  assert.equal(admit(a), 0)
  assert.deepEqual([cache.queries, cache.hits], [7 * 17, 32])
})
