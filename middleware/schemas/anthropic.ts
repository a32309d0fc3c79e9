import * as v from 'valibot'
import { generation, integerFrom, model, requiredIntegerFrom } from './fields.ts'
import { anthropicMessages } from './messages.ts'

const system = v.nullish(
  v.custom<unknown>(
    (value) => typeof value === 'string' || Array.isArray(value),
    'a string or an array of blocks',
  ),
)

export const anthropicCountTokens = v.object({ model, messages: anthropicMessages, system })

export const anthropicRequest = v.object({
  ...generation,
  messages: anthropicMessages,
  // Required here, unlike in OpenAI's API.
  max_tokens: requiredIntegerFrom(1),
  system,
  top_k: integerFrom(-1),
})
