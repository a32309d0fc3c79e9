import * as v from 'valibot'
import { each, type Fault } from './each.ts'

const allowed = 'a string, an array of strings, an array of token ids, or an array of such arrays'

const notAString: Fault = { allowed: 'a string, as the first element is' }
const notAToken: Fault = { allowed: 'a token id, a whole number, as the first element is' }
const notTokens: Fault = { allowed: 'an array of token ids, as the first element is' }
const noText: Fault = { allowed: 'a string, a token id, or an array of token ids' }

/** `prompt` of completions and `input` of embeddings. The first element tells what the others must be. */
export const text = v.pipe(
  v.custom<unknown>((value) => typeof value === 'string' || Array.isArray(value), allowed),
  each((item, first) => {
    if (typeof first === 'string') return typeof item === 'string' ? undefined : notAString
    if (typeof first === 'number') return Number.isInteger(item) ? undefined : notAToken
    if (Array.isArray(first))
      return Array.isArray(item) && item.every(Number.isInteger) ? undefined : notTokens
    return noText
  }),
)
