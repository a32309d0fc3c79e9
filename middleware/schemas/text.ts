import * as v from 'valibot'
import { each, type Fault } from './each.ts'

const allowed = 'a string, an array of strings, an array of token ids, or an array of such arrays'

const notAString: Fault = { allowed: 'a string, as the first element is' }
const notAToken: Fault = { allowed: 'a token id, a whole number, as the first element is' }
const notTokens: Fault = { allowed: 'an array of token ids, as the first element is' }
const noText: Fault = { allowed: 'a string, a token id, or an array of token ids' }

export const textOrArray = v.custom<unknown>(
  (value) => typeof value === 'string' || Array.isArray(value),
  allowed,
)

/** `prompt` of completions and `input` of embeddings. The first element tells what the others must be. */
export const text = v.pipe(textOrArray, each(textOrTokens))

/** An element of a text that is an array. */
export function textOrTokens(item: unknown, first: unknown): Fault | undefined {
  // A token id may be written as a string, too: such a list is one of strings, or one of token ids.
  if (typeof first === 'string')
    return typeof item === 'string' || (isToken(first) && isToken(item)) ? undefined : notAString
  if (isToken(first)) return isToken(item) ? undefined : notAToken
  if (Array.isArray(first)) return Array.isArray(item) && item.every(isToken) ? undefined : notTokens
  return noText
}

/** As loosely as Python's validation takes a whole number. */
function isToken(item: unknown): boolean {
  return (
    Number.isInteger(item) ||
    typeof item === 'boolean' ||
    (typeof item === 'string' && /^\s*-?\d+\s*$/.test(item))
  )
}
