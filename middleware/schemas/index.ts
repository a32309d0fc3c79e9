import type { GenericSchema, ObjectEntries } from 'valibot'
import { anthropicCountTokens, anthropicRequest } from './anthropic.ts'
import { chatCompletions } from './chat-completions.ts'
import { completions } from './completions.ts'
import { embeddings } from './embeddings.ts'
import { loose } from './loose.ts'
import { responses } from './responses.ts'

/** A schema over the top-level fields of a body; the fields it does not name always pass. */
export type BodySchema = GenericSchema & { readonly entries: ObjectEntries }

/** The schema of each POST route that takes JSON, by path. */
export const bodySchemas = {
  '/v1/chat/completions': chatCompletions,
  '/v1/completions': completions,
  '/v1/embeddings': embeddings,
  '/v1/responses': responses,
  '/v1/messages': anthropicRequest,
  '/v1/messages/count_tokens': anthropicCountTokens,
  '/v1/rerank': loose,
  '/v2/rerank': loose,
  '/rerank': loose,
  '/v1/score': loose,
  '/score': loose,
  '/classify': loose,
  '/pooling': loose,
  '/tokenize': loose,
  '/detokenize': loose,
  '/generate': loose,
  '/invocations': loose,
  '/v1/chat/completions/batch': loose,
  '/v1/chat/completions/render': loose,
  '/v1/chat/completions/derender': loose,
  '/v1/completions/render': loose,
  '/v1/completions/derender': loose,
  '/v1/messages/render': loose,
  '/v1/responses/render': loose,
  '/v2/embed': loose,
  '/inference/v1/generate': loose,
  '/cohere/v2/chat': loose,
  '/cohere/v2/chat/render': loose,
  '/generative_scoring': loose,
  '/v1/systemone': loose,
} as const satisfies Record<string, BodySchema>
