import * as v from 'valibot'
import { generation, integer, integerFrom, numberBetween, object } from './fields.ts'
import { oneOf } from './one-of.ts'
import { text } from './text.ts'

export const completions = v.pipe(
  v.object({
    ...generation,
    prompt: v.nullish(text),
    prompt_embeds: v.nullish(v.unknown()),
    stream_options: object,
    // 0 with `echo` scores the prompt.
    max_tokens: integerFrom(0),
    n: integerFrom(1),
    presence_penalty: numberBetween(-2, 2),
    frequency_penalty: numberBetween(-2, 2),
    seed: integer,
  }),
  oneOf('prompt', 'prompt_embeds', 'a string or an array'),
)
