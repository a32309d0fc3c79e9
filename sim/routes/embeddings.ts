/** `POST /v1/embeddings`: vectors that depend on the text only, of unit length. */
import { type Answer, pooled } from '../answer.ts'
import { badRequest } from '../api-error.ts'
import { answerId, type Call, modelOf, now, type SimContext } from '../call.ts'
import { chatPrompt, joined, promptsOf } from '../prompt.ts'
import { parseBody, required, wholeNumber } from '../request-body.ts'
import { seededRandom, textSeed } from '../text.ts'

const defaultDimensions = 8

export function embeddings(sim: SimContext, call: Call): Answer {
  const body = parseBody(call.body)
  const model = modelOf(sim, body)
  const inputs =
    body.messages === undefined ? promptsOf(required(body, 'input'), 'input') : [chatPrompt(body.messages)]
  const dimensions = wholeNumber(body, 'dimensions', 1) ?? defaultDimensions
  const format = body.encoding_format ?? 'float'
  if (format !== 'float' && format !== 'base64') {
    throw badRequest(`Input should be 'float' or 'base64': encoding_format`, 'encoding_format')
  }
  const id = JSON.parse(answerId(sim, call, 'embd')) as string
  const prompt = joined(inputs)
  return pooled(model, prompt, () => ({
    id,
    object: 'list',
    created: now(),
    model,
    data: inputs.map(({ text }, index) => {
      const vector = vectorOf(text, dimensions)
      return { index, object: 'embedding', embedding: format === 'base64' ? base64(vector) : vector }
    }),
    usage: usageOf(prompt.tokens),
  }))
}

/** The usage of an API that generates nothing. */
export function usageOf(tokens: number): unknown {
  return {
    prompt_tokens: tokens,
    total_tokens: tokens,
    completion_tokens: 0,
    prompt_tokens_details: null,
    completion_tokens_details: null,
  }
}

/** A unit vector seeded with the text. */
export function vectorOf(text: string, dimensions: number): number[] {
  const random = seededRandom(textSeed(text, dimensions))
  const raw = Array.from({ length: dimensions }, () => random() * 2 - 1)
  const norm = Math.hypot(...raw) || 1
  return raw.map((value) => Math.fround(value / norm))
}

/** 32-bit floats, little endian, as OpenAI's clients decode them. */
function base64(vector: readonly number[]): string {
  const bytes = Buffer.alloc(vector.length * 4)
  for (const [index, value] of vector.entries()) bytes.writeFloatLE(value, index * 4)
  return bytes.toString('base64')
}
