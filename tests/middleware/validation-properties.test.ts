import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { readBody } from '../../middleware/read-body.ts'
import { bodySchemas } from '../../middleware/schemas/index.ts'
import { validate } from '../../middleware/validate.ts'
import { errorOf, middlewareApp } from '../support/middleware-app.ts'

type Path = keyof typeof bodySchemas

const text = fc.string()
const nullish = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: null })
const optional = <T>(fields: { [K in keyof T]: fc.Arbitrary<T[K]> }) =>
  fc.record(fields, { requiredKeys: [] })
const integer = (min: number) => nullish(fc.integer({ min, max: 1_000_000 }))
const penalty = nullish(fc.float({ min: -2, max: 2, noNaN: true }))
const tokens = fc.array(fc.nat())
const textOrTokens = fc.oneof(text, fc.array(text), tokens, fc.array(tokens))
const parts = fc.array(fc.record({ type: fc.constant('text'), text }))

const chatMessages = fc.array(
  fc.record(
    { role: text, content: fc.oneof(text, parts, fc.constant(null)), tool_calls: fc.array(fc.json()) },
    { requiredKeys: ['role'] },
  ),
  { minLength: 1 },
)
const anthropicMessages = fc.array(fc.record({ role: text, content: fc.oneof(text, parts) }), {
  minLength: 1,
})

const sampling = {
  stream: nullish(fc.boolean()),
  temperature: nullish(fc.float({ min: 0, max: 2, noNaN: true })),
  top_p: nullish(fc.float({ min: 0, minExcluded: true, max: 1, noNaN: true })),
}
const openAi = {
  ...sampling,
  max_tokens: integer(0),
  n: integer(1),
  presence_penalty: penalty,
  frequency_penalty: penalty,
  seed: nullish(fc.maxSafeInteger()),
  stream_options: nullish(optional({ include_usage: fc.boolean() })),
}

/** Per route: the fields it must have, and those it may have. */
const bodies: {
  readonly [P in Path]?: readonly [required: fc.Arbitrary<object>, options: fc.Arbitrary<object>]
} = {
  '/v1/chat/completions': [
    fc.record({ model: text, messages: chatMessages }),
    optional({ ...openAi, max_completion_tokens: integer(0), top_logprobs: integer(-1) }),
  ],
  '/v1/completions': [fc.record({ model: text, prompt: textOrTokens }), optional(openAi)],
  '/v1/embeddings': [
    fc.oneof(
      fc.record({ model: text, input: textOrTokens }),
      fc.record({ model: text, messages: chatMessages }),
    ),
    optional({ dimensions: integer(1) }),
  ],
  '/v1/responses': [
    fc.record({ model: text, input: fc.oneof(text, fc.array(fc.dictionary(text, fc.json()))) }),
    optional({ ...sampling, max_output_tokens: integer(0) }),
  ],
  '/v1/messages': [
    fc.record({ model: text, messages: anthropicMessages, max_tokens: fc.integer({ min: 1, max: 100_000 }) }),
    optional({ ...sampling, system: nullish(fc.oneof(text, parts)), top_k: integer(-1) }),
  ],
  '/v1/messages/count_tokens': [fc.record({ model: text, messages: anthropicMessages }), fc.constant({})],
  '/generate': [fc.constant({}), optional({ model: nullish(text), stream: nullish(fc.boolean()) })],
}

const known = new Set(Object.values(bodySchemas).flatMap((schema) => Object.keys(schema.entries)))
const unknownFields = fc.dictionary(
  fc
    .oneof(text, fc.constantFrom('__proto__', 'constructor', 'toString', 'guided_json'))
    .filter((key) => !known.has(key)),
  fc.jsonValue(),
)

/** Serialized with the spacing of some client, so that the bytes differ from what JSON.stringify would give. */
const spacing = fc.constantFrom(undefined, 1, '\t')

async function send(path: Path, body: string) {
  let bytes: Uint8Array | undefined
  const chain = [readBody(), validate({ schema: bodySchemas[path] })]
  const { fetch } = middlewareApp(chain, async (c) => {
    bytes = c.get('body')?.bytes()
    return c.json(c.get('payload') ?? null)
  })
  const headers = { 'content-type': 'application/json' }
  const response = await fetch(path, { method: 'POST', headers, body })
  return { response, bytes }
}

for (const [path, [required, options]] of Object.entries(bodies) as [
  Path,
  [fc.Arbitrary<object>, fc.Arbitrary<object>],
][]) {
  test(`${path}: a right body passes with any unknown fields beside, and its bytes stay`, async () => {
    await fc.assert(
      fc.asyncProperty(required, options, unknownFields, spacing, async (fields, settings, extra, space) => {
        const body = JSON.stringify({ ...extra, ...settings, ...fields }, null, space)
        const { response, bytes } = await send(path, body)
        const answer = await response.text()
        assert.equal(response.status, 200, answer)
        assert.deepEqual(bytes, new TextEncoder().encode(body))
        assert.deepEqual(JSON.parse(answer), JSON.parse(body))
      }),
      { numRuns: 60 },
    )
  })
}

const kinds = {
  null: fc.constant(null),
  boolean: fc.boolean(),
  number: fc.integer({ min: 3, max: 9 }),
  fraction: fc.constantFrom(1.5, -0.5, 2.25),
  text: text.filter((value) => Number.isNaN(Number(value)) || value.trim() === ''),
  array: fc.array(fc.jsonValue()),
  object: fc.dictionary(text, fc.jsonValue()),
}

/** Values of every kind but these. */
function not(...right: (keyof typeof kinds)[]): fc.Arbitrary<unknown> {
  const others = { ...kinds }
  for (const kind of right) Reflect.deleteProperty(others, kind)
  return fc.oneof(...Object.values<fc.Arbitrary<unknown>>(others))
}

const noNumber = not('null', 'number', 'fraction', 'boolean')

/** Per field of a chat request: the values that are surely wrong. */
const wrong: Readonly<Record<string, fc.Arbitrary<unknown>>> = {
  model: not('text', 'null'),
  messages: not('array'),
  stream: not('null', 'boolean'),
  stream_options: not('null', 'object'),
  temperature: fc.oneof(noNumber, kinds.number),
  top_p: fc.oneof(noNumber, fc.constantFrom(0, -1, 1.5)),
  n: fc.oneof(noNumber, fc.constantFrom(0, -1, 1.5)),
  max_tokens: fc.oneof(noNumber, fc.constantFrom(-1, 0.5)),
  max_completion_tokens: fc.oneof(noNumber, fc.constantFrom(-1, 0.5)),
  presence_penalty: fc.oneof(noNumber, kinds.number),
  frequency_penalty: fc.oneof(noNumber, kinds.number),
  seed: fc.oneof(noNumber, fc.constant(0.5)),
  top_logprobs: fc.oneof(noNumber, fc.constantFrom(-2, 0.5)),
}

for (const [field, values] of Object.entries(wrong)) {
  test(`chat: a wrong ${field} is a 400 that names it and repeats no text`, async () => {
    await fc.assert(
      fc.asyncProperty(values, unknownFields, async (value, extra) => {
        const marked = typeof value === 'string' ? `MARKER${value}` : value
        const body = {
          ...extra,
          model: 'm',
          messages: [{ role: 'user', content: 'MARKER' }],
          [field]: marked,
        }
        const { response } = await send('/v1/chat/completions', JSON.stringify(body))
        const error = await errorOf(response, 400, 'invalid_request')
        assert.equal(error.param, field)
        assert.ok(!error.message.includes('MARKER'))
      }),
      { numRuns: 40 },
    )
  })
}

test('chat: a wrong message is named by its place, whichever it is', async () => {
  const wrongMessage = fc.oneof(
    fc.tuple(fc.constant(''), not('object')),
    fc.tuple(fc.constant('.role'), fc.record({ role: not('text'), content: text })),
    fc.tuple(
      fc.constant('.content'),
      fc.record({ role: text, content: not('text', 'array', 'object', 'null') }),
    ),
  )
  await fc.assert(
    fc.asyncProperty(chatMessages, wrongMessage, fc.nat(), async (messages, [field, message], where) => {
      const index = where % (messages.length + 1)
      const body = {
        model: 'm',
        messages: messages.toSpliced(index, 0, message as (typeof messages)[number]),
      }
      const { response } = await send('/v1/chat/completions', JSON.stringify(body))
      const error = await errorOf(response, 400, 'invalid_request')
      assert.equal(error.param, `messages[${index}]${field}`)
    }),
    { numRuns: 150 },
  )
})
