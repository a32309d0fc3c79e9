import * as v from 'valibot'
import { generation, integer, integerFrom, numberBetween, object } from './fields.ts'
import { chatMessages } from './messages.ts'

export const chatCompletions = v.object({
  ...generation,
  messages: chatMessages,
  stream_options: object,
  max_tokens: integerFrom(0),
  max_completion_tokens: integerFrom(0),
  n: integerFrom(1),
  presence_penalty: numberBetween(-2, 2),
  frequency_penalty: numberBetween(-2, 2),
  seed: integer,
  // -1 is vLLM's word for all of them.
  top_logprobs: integerFrom(-1),
})
