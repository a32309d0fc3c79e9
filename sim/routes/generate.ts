/** `/generate` (vLLM's plain API) and `/invocations` (SageMaker's door to all the others). */
import type { Answer } from '../answer.ts'
import { badRequest } from '../api-error.ts'
import { type Call, modelOf, type SimContext } from '../call.ts'
import { choicesOf, lengthOf } from '../generation.ts'
import { joined, promptsOf } from '../prompt.ts'
import { flag, parseBody, required } from '../request-body.ts'
import { textOf, textSeed } from '../text.ts'
import { chat } from './chat.ts'
import { completions } from './completions.ts'
import { embeddings } from './embeddings.ts'
import { rerank, score } from './scoring.ts'

/** Texts are prompt and output together; a stream is one JSON line per token, each with all text so far. */
export function generate(sim: SimContext, call: Call): Answer {
  const body = parseBody(call.body)
  const model = modelOf(sim, body)
  const prompts = promptsOf(required(body, 'prompt'), 'prompt')
  const prompt = joined(prompts)
  const choices = choicesOf(body)
  const { tokens } = lengthOf(sim, body, ['max_tokens'], prompt)
  const seed = textSeed(prompt.text, sim.settings.seed)
  const textAfter = (steps: number) =>
    JSON.stringify({
      text: Array.from({ length: choices }, (_, choice) => prompt.text + textOf(seed + choice, steps)),
    })
  const stream = {
    opening: () => '',
    event: (step: number) => `${textAfter(step + 1)}\n`,
    closing: () => '',
    failure: (message: string) => `${JSON.stringify({ error: message })}\n`,
  }
  const streamed = flag(body, 'stream')
  return {
    contentType: streamed ? 'text/plain; charset=utf-8' : 'application/json',
    model,
    prompt,
    steps: tokens,
    tokensPerStep: choices,
    ...(streamed && { stream }),
    body: () => textAfter(tokens),
  }
}

export function invocations(sim: SimContext, call: Call): Answer {
  const body = parseBody(call.body)
  if (body.messages !== undefined) return chat(sim, call)
  if (body.prompt !== undefined) return completions(sim, call)
  if (body.input !== undefined) return embeddings(sim, call)
  if (body.query !== undefined) return rerank(sim, call)
  if (body.text_1 !== undefined || body.queries !== undefined) return score(sim, call)
  throw badRequest('Cannot find suitable handler for request.')
}
