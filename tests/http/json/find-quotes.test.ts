/** The search for quotes: the assembled program is that of the text beside it, and finds what a plain loop finds. */

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import wabt from 'wabt'
import { assembled, blockBytes, findQuotes } from '../../../http/json/find-quotes.ts'

test('the program in find-quotes.ts is find-quotes.wat, assembled', async () => {
  const text = readFileSync(new URL('../../../http/json/find-quotes.wat', import.meta.url), 'utf8')
  const { parseWat } = await wabt()
  const { buffer } = parseWat('find-quotes.wat', text, { simd: true, bulk_memory: true }).toBinary({})
  assert.equal(assembled, Buffer.from(buffer).toString('base64'))
})

/** Every quote but those with a single backslash before them; what is before the block might be backslashes. */
function plainSearch(block: Uint8Array): number[] {
  const isBackslash = (at: number): boolean => at < 0 || block[at] === 0x5c
  return [...block.keys()].filter((at) => block[at] === 0x22 && (!isBackslash(at - 1) || isBackslash(at - 2)))
}

const piece = fc.constantFrom(
  '"',
  '\\',
  '\\"',
  '\\\\"',
  'x',
  '#',
  ']',
  'some text without any of it',
  'é',
  '\0',
)
const text = fc.array(piece, { maxLength: 400 }).map((pieces) => Buffer.from(pieces.join('')))

describe('quotes in a block', () => {
  test('are those that a plain loop finds, wherever the block lies in memory', () => {
    fc.assert(
      fc.property(text, fc.nat(40), (bytes, at) => {
        const block = Buffer.concat([Buffer.alloc(at), bytes]).subarray(at)
        assert.deepEqual([...(findQuotes(block) ?? [])], plainSearch(block))
      }),
      { numRuns: 500 },
    )
  })

  test('are found up to the end of the largest block, and nothing of an earlier one', () => {
    assert.equal(findQuotes(Buffer.alloc(4096, '"'))?.length, 4096)
    const block = Buffer.alloc(blockBytes, ' ')
    block[blockBytes - 1] = 0x22
    assert.deepEqual([...(findQuotes(block) ?? [])], [blockBytes - 1])
    assert.deepEqual([...(findQuotes(block.subarray(0, 5)) ?? [])], [])
  })

  test('are not listed when there are more than a prompt has', () => {
    assert.equal(findQuotes(Buffer.alloc(4097, '"')), undefined)
  })
})
