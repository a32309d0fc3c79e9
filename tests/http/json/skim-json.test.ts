/** A body of very many keys and values is looked through in slices: routing finds what it needs, others get their turn. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import type { JsonValue } from '../../../http/json/json.ts'
import { readJson } from '../../../http/json/parse-json.ts'
import { skimJson } from '../../../http/json/skim-json.ts'
import { RequestBody } from '../../../http/request-body.ts'

const wanted = new Set(['model', 'stream', 'previous_response_id'])

interface Counts {
  keys: number
  commas: number
  containers: number
  depth: number
}

/** The same by the value itself. */
function countsOf(value: JsonValue | undefined, level = 1): Counts {
  if (typeof value !== 'object' || value === null) return { keys: 0, commas: 0, containers: 0, depth: 0 }
  const inner = (Array.isArray(value) ? value : Object.values(value)) as JsonValue[]
  const below = inner.map((one) => countsOf(one, level + 1))
  const sum = (name: keyof Counts) => below.reduce((all, counts) => all + counts[name], 0)
  return {
    keys: (Array.isArray(value) ? 0 : inner.length) + sum('keys'),
    commas: Math.max(0, inner.length - 1) + sum('commas'),
    containers: 1 + sum('containers'),
    depth: Math.max(level, ...below.map(({ depth }) => depth)),
  }
}

const text = fc.string({
  unit: fc.constantFrom('a', '"', '\\', ',', ':', '{', ']', 'é', '\n'),
  maxLength: 12,
})
const { value } = fc.letrec<{ value: JsonValue }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    text,
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.constantFrom(true, false, null),
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(text, tie('value'), { maxKeys: 4 }),
  ) as fc.Arbitrary<JsonValue>,
}))
const objects = fc.dictionary(fc.oneof(text, fc.constantFrom(...wanted)), value, { maxKeys: 6 })

function inPieces(bytes: Buffer, places: readonly number[]): Uint8Array[] {
  const cuts = [...places.map((place) => place % bytes.length), bytes.length].sort((a, b) => a - b)
  return cuts.map((end, index) => bytes.subarray(cuts[index - 1] ?? 0, end))
}

describe('a look through a JSON text', () => {
  test('counts what is there, and finds the wanted fields of the outermost object', async () => {
    const cuts = fc.array(fc.nat(), { maxLength: 3 })
    await fc.assert(
      fc.asyncProperty(objects, fc.boolean(), cuts, async (body, spaced, places) => {
        const bytes = Buffer.from(JSON.stringify(body, null, spaced ? 2 : undefined))
        const { keys, commas, containers, depth, fields } = await skimJson(inPieces(bytes, places), wanted)
        const parsed = JSON.parse(bytes.toString()) as Record<string, JsonValue>
        assert.deepEqual({ keys, commas, containers, depth }, countsOf(parsed))
        const scalars = Object.entries(parsed).filter(
          ([name, one]) => wanted.has(name) && (typeof one !== 'object' || one === null),
        )
        assert.deepEqual({ ...fields }, Object.fromEntries(scalars))
      }),
      { numRuns: 300 },
    )
  })

  test('survives any bytes', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (bytes) => {
        await skimJson([bytes], wanted)
      }),
    )
  })

  test('lets others have their turn', async () => {
    let turns = 0
    const timer = setInterval(() => turns++, 0)
    await skimJson([Buffer.alloc(32 * 2 ** 20, '1,')], wanted)
    clearInterval(timer)
    assert.ok(turns > 4, `${turns} turns`)
  })
})

describe('a body read for routing', () => {
  const manyKeys = (count: number) =>
    Buffer.from(`{"model":"m","stream":true,${Array.from({ length: count }, (_, i) => `"k${i}":1`).join()}}`)

  test('is skimmed where it has very many keys', async () => {
    const read = await readJson(new RequestBody([manyKeys(200_000)]), true)
    assert.deepEqual(read, { value: { model: 'm', stream: true }, skimmed: true })
  })

  test('is skimmed where it has very many values', async () => {
    const body = Buffer.from(`{"model":"m","prompt":[${'1,'.repeat(3_000_000)}1]}`)
    assert.deepEqual(await readJson(new RequestBody([body]), true), { value: { model: 'm' }, skimmed: true })
  })

  test('is parsed whole where it is only long', async () => {
    const ids = Array.from({ length: 200_000 }, (_, i) => i)
    const body = Buffer.from(JSON.stringify({ model: 'm', prompt: ids }))
    assert.deepEqual(await readJson(new RequestBody([body]), true), { value: { model: 'm', prompt: ids } })
  })

  test('is parsed whole, and at once, where it is short', () => {
    const read = readJson(new RequestBody([manyKeys(1000)]), true)
    assert.ok(!(read instanceof Promise))
    assert.equal(read.skimmed, undefined)
  })
})
