import * as v from 'valibot'
import { generation, integerFrom, requiredIntegerFrom, requiredModel } from './fields.ts'
import { anthropicMessages } from './messages.ts'

const system = v.nullish(
  v.custom<unknown>(
    (value) => typeof value === 'string' || Array.isArray(value),
    'a string or an array of blocks',
  ),
)

export const anthropicCountTokens = v.object({ model: requiredModel, messages: anthropicMessages, system })

export const anthropicRequest = v.object({
  ...generation,
  messages: anthropicMessages,
  // These two are required here, unlike in OpenAI's API.
  model: requiredModel,
  max_tokens: requiredIntegerFrom(1),
  system,
  top_k: integerFrom(-1),
})
