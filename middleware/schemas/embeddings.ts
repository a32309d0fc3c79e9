import * as v from 'valibot'
import { isObject } from '../../http/json/json.ts'
import { each } from './each.ts'
import { boolean, integerFrom, model } from './fields.ts'
import { chatBatch, chatOrConversation } from './messages.ts'
import { oneOf } from './one-of.ts'
import { textOrArray, textOrTokens } from './text.ts'

/** Text, as everywhere, or conversations. */
const input = v.pipe(
  textOrArray,
  each((item, first) =>
    isObject(first) || (Array.isArray(first) && isObject(first[0]))
      ? chatOrConversation(item, first)
      : textOrTokens(item, first),
  ),
)

/** vLLM also embeds a conversation, or several: `messages` instead of `input`, or as the input. */
export const embeddings = v.pipe(
  v.object({
    model,
    input: v.nullish(input),
    messages: v.nullish(chatBatch),
    dimensions: integerFrom(1),
    stream: boolean,
  }),
  oneOf('input', 'messages', 'a string or an array'),
)
