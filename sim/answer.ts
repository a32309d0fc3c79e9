/** What a route wants sent back; `delivery.ts` sends it. */
import type { Prompt } from './prompt.ts'

/** The events of one stream. Every string is one or more whole server-sent events, unless the route says otherwise. */
export interface StreamFormat {
  /** Events before the first content. */
  opening(cachedTokens: number): string
  /** The event or, with several choices, events of one output token. `last` makes it carry the finish reason. */
  event(step: number, last: boolean): string
  /** Events after the last token. */
  closing(cachedTokens: number): string
  /** The error event with which the model server reports a failure inside a stream, and what it ends with. */
  failure(message: string): string
}

export interface Answer {
  contentType: string
  model: string
  prompt: Prompt
  /** Engine iterations; 0 answers at once, past the engine. */
  steps: number
  /** Output tokens of each iteration: the number of sequences, or 0 for an API that generates nothing. */
  tokensPerStep: number
  /** Present when the client asked for a stream; `body` is then not used. */
  stream?: StreamFormat
  /** The complete answer in one piece. */
  body(cachedTokens: number): string
}

const noPrompt: Prompt = { text: '', tokens: 0 }

/** An answer that needs no engine: JSON unless `contentType` says otherwise. */
export function immediate(body: string, contentType = 'application/json'): Answer {
  return { contentType, model: '', prompt: noPrompt, steps: 0, tokensPerStep: 0, body: () => body }
}

/** The same for a value. */
export function json(value: unknown): Answer {
  return immediate(JSON.stringify(value))
}

/** An answer of an API that reads its prompt but generates no token, such as an embedding: one engine iteration. */
export function pooled(model: string, prompt: Prompt, value: () => unknown): Answer {
  return {
    contentType: 'application/json',
    model,
    prompt,
    steps: 1,
    tokensPerStep: 0,
    body: () => JSON.stringify(value()),
  }
}

/** vLLM's `usage` object of a plain answer as JSON text; `cachedTokens` undefined when the prefix cache is off. */
export function usageJson(prompt: number, completion: number, cachedTokens: number | undefined): string {
  const details = `"prompt_tokens_details":${cacheDetails(cachedTokens)},"completion_tokens_details":null`
  return `{${counts(prompt, completion)},${details}}`
}

/** The same in the last event of a stream, which leaves out what is null. */
export function finalUsageJson(prompt: number, completion: number, cachedTokens: number | undefined): string {
  const details = cachedTokens === undefined ? '' : `,"prompt_tokens_details":${cacheDetails(cachedTokens)}`
  return `{${counts(prompt, completion)}${details}}`
}

/** The usage so far, in every event of a stream whose client wants it. */
export function runningUsageJson(prompt: number, completion: number): string {
  return `{${counts(prompt, completion)},"completion_tokens_details":null}`
}

function counts(prompt: number, completion: number): string {
  return `"prompt_tokens":${prompt},"total_tokens":${prompt + completion},"completion_tokens":${completion}`
}

function cacheDetails(cachedTokens: number | undefined): string {
  return cachedTokens === undefined
    ? 'null'
    : `{"cached_tokens":${cachedTokens},"created_cache_tokens":null,"multimodal_tokens":null}`
}

/** Of the build that answers, as vLLM says it. */
export const fingerprint = '"system_fingerprint":"vllm-0.0.0-simulated"'

/** What every plain answer of a generating API ends with. */
export const transferFields = '"kv_transfer_params":null,"ec_transfer_params":null,"metrics":null'
