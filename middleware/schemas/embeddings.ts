import * as v from 'valibot'
import { boolean, integerFrom, model } from './fields.ts'
import { chatMessages } from './messages.ts'
import { oneOf } from './one-of.ts'
import { text } from './text.ts'

/** vLLM also embeds a conversation: `messages` instead of `input`. */
export const embeddings = v.pipe(
  v.object({
    model,
    input: v.nullish(text),
    messages: v.nullish(chatMessages),
    dimensions: integerFrom(1),
    stream: boolean,
  }),
  oneOf('input', 'messages', 'a string or an array'),
)
