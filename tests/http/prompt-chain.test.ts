/** A prompt becomes a chain of numbers: equal beginnings have equal numbers, on every router. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { readJson } from '../../http/json/parse-json.ts'
import { promptChain } from '../../http/prompt-chain.ts'
import { RequestBody } from '../../http/request-body.ts'

const words = (count: number, from = 0): string =>
  Array.from({ length: count }, (_, at) => `word${((at + from) * 7919) % 9973}`).join(' ')

function bodyOf(value: unknown): RequestBody {
  return new RequestBody([Buffer.from(JSON.stringify(value))])
}

function chainOf(value: unknown, model = 'm') {
  return promptChain(bodyOf(value), model)
}

/** How many blocks are the same from the beginning. */
function common(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let at = 0
  while (at < a.length && a[at] === b[at]) at++
  return at
}

const turn = (role: string, content: string) => ({ role, content })

describe('the chain of a prompt', () => {
  test('is the same in however many pieces the body came', () => {
    const whole = Buffer.from(
      JSON.stringify({
        model: 'm',
        tools: [{ name: 'x', text: words(100) }],
        messages: [turn('user', words(9000))],
      }),
    )
    const expected = promptChain(new RequestBody([whole]), 'm').blocks
    assert.ok(expected.length > 40)
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 4000, max: whole.byteLength - 1 }), { maxLength: 6 }),
        (cuts) => {
          const ends = [...new Set([...cuts, whole.byteLength])].sort((a, b) => a - b)
          const pieces = ends.map((end, index) => whole.subarray(ends[index - 1] ?? 0, end))
          assert.deepEqual(promptChain(new RequestBody(pieces), 'm').blocks, expected)
        },
      ),
      { numRuns: 60 },
    )
  })

  test('is the same where a piece ends within a key, or before the beginning is over', () => {
    const tools = [{ name: 'x', text: words(9000) }]
    const whole = Buffer.from(JSON.stringify({ tools, model: 'm', messages: [turn('user', words(900))] }))
    const expected = promptChain(new RequestBody([whole]), 'm').blocks
    const key = whole.indexOf('"messages"')
    for (const cut of [1, 5, 4096, key, key + 3, key + 9, key + 10, key + 11]) {
      const pieces = [whole.subarray(0, cut), whole.subarray(cut)]
      assert.deepEqual(promptChain(new RequestBody(pieces), 'm').blocks, expected, `cut at ${cut}`)
    }
  })

  test('of a name that is written five million times, but not as a key, begins without it', () => {
    const body = Buffer.from(`{"x":[${'"messages",'.repeat(5e6)}1],"prompt":"${words(500)}"}`)
    const alone = Buffer.from(`{"prompt":"${words(500)}"}`)
    const { blocks } = promptChain(new RequestBody([body]), 'm')
    assert.deepEqual(blocks, promptChain(new RequestBody([alone]), 'm').blocks)
  })

  test('grows with the conversation: what was said before keeps its numbers', () => {
    const messages = [turn('system', words(300)), turn('user', words(200, 5))]
    const first = chainOf({ model: 'm', messages, stream: true })
    const second = chainOf({
      model: 'm',
      messages: [...messages, turn('assistant', words(80, 9)), turn('user', 'and?')],
    })
    // All but the last block, in which the settings behind the messages are.
    assert.ok(common(first.blocks, second.blocks) >= first.blocks.length - 1)
    assert.ok(second.blocks.length > first.blocks.length)
  })

  test('begins with tools and system prompt, wherever they stand in the body', () => {
    const tools = [{ type: 'function', function: { name: 'f', description: words(200) } }]
    const one = chainOf({ model: 'm', messages: [turn('user', words(200))], tools })
    const other = chainOf({ tools, model: 'm', messages: [turn('user', words(200, 77))] })
    const unlike = chainOf({ model: 'm', messages: [turn('user', words(200))], tools: [] })
    assert.ok(common(one.blocks, other.blocks) >= 5)
    assert.equal(common(one.blocks, unlike.blocks), 0)
    const anthropic = { max_tokens: 5, messages: [turn('user', words(200))], system: words(200, 3) }
    assert.ok(
      common(
        chainOf(anthropic).blocks,
        chainOf({ ...anthropic, messages: [turn('user', words(90, 4))] }).blocks,
      ) >= 4,
    )
  })

  test('does not depend on the settings before the prompt, and does on the model', () => {
    const messages = [turn('user', words(300))]
    const plain = chainOf({ messages }).blocks
    const set = chainOf({ temperature: 0.5, user: 'somebody', messages }).blocks
    assert.ok(common(plain, set) >= plain.length - 1)
    assert.equal(common(plain, chainOf({ messages }, 'other').blocks), 0)
  })

  test('takes no text for a key', () => {
    const messages = [turn('user', `${words(200)} "messages": [ "tools": {} "system" : "x"`)]
    const said = chainOf({ messages }).blocks
    const plain = chainOf({ messages: [turn('user', words(200))] }).blocks
    assert.ok(common(said, plain) >= plain.length - 1)
  })

  test('knows prompts of text, of token ids and of inputs', () => {
    const ids = Array.from({ length: 2000 }, (_, at) => (at * 31) % 50_000)
    for (const key of ['prompt', 'input']) {
      for (const value of [words(400), ids, [turn('user', words(300))]]) {
        const one = chainOf({ model: 'm', [key]: value, n: 1 })
        const other = chainOf({ n: 3, model: 'm', [key]: value })
        assert.ok(one.blocks.length > 3)
        assert.ok(common(one.blocks, other.blocks) >= one.blocks.length - 1, key)
      }
    }
  })

  test('is of a body whose keys nobody knows, too', () => {
    const one = chainOf({ query: words(200), documents: [words(100)] })
    assert.ok(one.blocks.length > 4)
  })

  test('is bounded, and says how many bytes its blocks are', () => {
    const long = chainOf({ messages: [turn('user', words(300_000))] })
    assert.equal(long.blocks.length, 116)
    assert.deepEqual(
      [0, 1, 32, 33, 40, 41, 52, 53, 116].map((count) => long.bytesOf(count)),
      [0, 256, 8192, 9216, 16_384, 20_480, 65_536, 81_920, 1_114_112],
    )
    assert.equal(chainOf({ messages: [turn('user', 'hi')] }).blocks.length, 0)
    for (const { bytes, bytesOf, blocks } of [long].map((chain) => ({
      bytes: chain.bytes,
      blocks: chain.blocks,
      bytesOf: (count: number) => chain.bytesOf(count),
    })))
      assert.ok(bytesOf(blocks.length) <= bytes)
  })

  test('of long prompts parts at most one large block behind the place where they do', () => {
    const common = words(15_000)
    const one = chainOf({ messages: [turn('user', `${common} and then ${words(20_000)}`)] })
    const other = chainOf({ messages: [turn('user', `${common} but ${words(20_000)}`)] })
    const alike = one.blocks.findIndex((block, at) => block !== other.blocks[at])
    assert.ok(alike > 52, 'the place is among the large blocks')
    assert.ok(one.bytesOf(alike) <= common.length + 2 * 16_384, `${one.bytesOf(alike)} of ${common.length}`)
  })

  test('is the same whether its strings were found when the body was read or not', () => {
    const long = turn('user', `${words(9000)} "messages": "tools" \\`)
    for (const fields of [
      { model: 'm', messages: [long], tools: [{ name: 'x', text: words(100) }] },
      { tools: [{ text: words(9000) }], system: words(20), messages: [long] },
      { prompt: words(9000), instructions: words(3000) },
      { model: 'm', text: words(9000) },
    ]) {
      const bytes = Buffer.from(JSON.stringify(fields))
      const fresh = new RequestBody([bytes])
      const read = new RequestBody([bytes.subarray(0, 30_000), bytes.subarray(30_000)])
      readJson(read, true)
      assert.ok(read.openingQuotes !== undefined && fresh.openingQuotes === undefined)
      assert.deepEqual(promptChain(read, 'm').blocks, promptChain(fresh, 'm').blocks)
    }
  })

  test('is taken of any bytes at all without an error', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.constantFrom('"messages"', '"tools"', ':', '[', '{', '"', '\\', 'x'.repeat(200), '}', ']', ' '),
          {
            maxLength: 60,
          },
        ),
        (texts) => {
          const { blocks, bytes } = promptChain(new RequestBody([Buffer.from(texts.join(''))]), undefined)
          assert.ok(blocks.length * 256 <= bytes)
          assert.ok(blocks.every((block) => Number.isSafeInteger(block) && block >= 0))
        },
      ),
    )
  })
})
