import * as v from 'valibot'
import { isObject } from '../../http/json/json.ts'
import { each } from './each.ts'
import { generation, integerFrom } from './fields.ts'
import { oneOf } from './one-of.ts'

const input = v.pipe(
  v.custom<unknown>(
    // An object without items is an array of none to vLLM.
    (value) => typeof value === 'string' || (typeof value === 'object' && value !== null),
    'a string or an array of items',
  ),
  each((item) => (isObject(item) ? undefined : { allowed: 'an object' })),
)

export const responses = v.pipe(
  v.object({
    ...generation,
    input: v.nullish(input),
    // A stored prompt may stand for the input in OpenAI's API; vLLM's own refusal says more about it than ours would.
    prompt: v.nullish(v.unknown()),
    max_output_tokens: integerFrom(0),
    top_logprobs: integerFrom(-1),
  }),
  oneOf('input', 'prompt', 'a string or an array of items'),
)
