/** What all generating APIs read from a request: lengths, streaming, choices. */
import { badRequest } from './api-error.ts'
import type { SimContext } from './call.ts'
import type { Prompt } from './prompt.ts'
import { flag, type Json, objectField, wholeNumber } from './request-body.ts'

/** Output tokens when the request sets no limit: the model then "stops" by itself. */
const naturalLength = 16
/** A plain answer is built in one piece; a longer one would only fill memory. */
const longestPlainAnswer = 1_000_000

export interface Length {
  /** Output tokens of each choice. */
  tokens: number
  /** The limit of the request was reached, or the model stopped by itself. */
  reason: 'length' | 'stop'
}

/** Reads the first of the named limits that is set. Throws 400 when prompt and output are too long for the model. */
export function lengthOf(sim: SimContext, body: Json, names: readonly string[], prompt: Prompt): Length {
  let limit: number | undefined
  for (const name of names) limit ??= wholeNumber(body, name, 1)
  const tokens = limit ?? naturalLength
  const { maxModelLen } = sim.settings
  if (prompt.tokens + tokens > maxModelLen) {
    throw badRequest(
      `This model's maximum context length is ${maxModelLen} tokens. However, you requested ` +
        `${prompt.tokens + tokens} tokens (${prompt.tokens} in the messages, ${tokens} in the completion).`,
      'input_tokens',
    )
  }
  if (tokens > longestPlainAnswer && !flag(body, 'stream')) {
    throw badRequest(`without stream at most ${longestPlainAnswer} tokens are simulated`, names[0])
  }
  return { tokens, reason: limit === undefined ? 'stop' : 'length' }
}

/** `n`, at most 128. Throws 400. */
export function choicesOf(body: Json): number {
  const n = wholeNumber(body, 'n', 1) ?? 1
  if (n > 128) throw badRequest(`n must be at most 128, got ${n}.`, 'n')
  return n
}

export interface UsageWish {
  /** A last event with the usage of the whole answer. */
  atEnd: boolean
  /** The usage so far with every event. */
  always: boolean
}

/** `stream_options`. Throws 400. */
export function usageWish(body: Json): UsageWish {
  const options = objectField(body, 'stream_options')
  const atEnd = flag(options, 'include_usage')
  return { atEnd, always: atEnd && flag(options, 'continuous_usage_stats') }
}

/** The cached tokens to report: undefined when the prefix cache is off. */
export function reportedCache(sim: SimContext, cachedTokens: number): number | undefined {
  return sim.settings.prefixCache ? cachedTokens : undefined
}

/** vLLM's error event in an OpenAI stream, and the end after it. */
export function openAiFailure(message: string): string {
  const error = { message, type: 'InternalServerError', param: null, code: 500 }
  return `data: ${JSON.stringify({ error })}\n\ndata: [DONE]\n\n`
}

export const eventStream = 'text/event-stream; charset=utf-8'
