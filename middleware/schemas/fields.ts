/**
 * The fields that several requests share. The message of a schema says what is allowed: it completes "must be ...".
 *
 * The look is a loose one: what any vLLM in use might take passes, and the worker has the last word. So a number may
 * come as a numeric string or as a boolean (Python's validation converts them), and `null` is as good as absent.
 */

import * as v from 'valibot'
import { isObject } from '../../http/json/json.ts'
import { laxBoolean } from './lax-boolean.ts'

function numberWhere(allows: (value: number) => boolean, allowed: string) {
  return v.custom<number | string>((value) => allows(toNumber(value)), allowed)
}

function toNumber(value: unknown): number {
  if (typeof value === 'number') return value
  // Python's true is a 1.
  if (typeof value === 'boolean') return Number(value)
  return typeof value === 'string' && value.trim() !== '' ? Number(value) : Number.NaN
}

export function numberBetween(min: number, max: number) {
  return v.nullish(numberWhere((value) => value >= min && value <= max, `a number from ${min} to ${max}`))
}

export function integerFrom(min: number) {
  return v.nullish(requiredIntegerFrom(min))
}

export function requiredIntegerFrom(min: number) {
  return numberWhere((value) => Number.isInteger(value) && value >= min, `a whole number of at least ${min}`)
}

export const integer = v.nullish(numberWhere(Number.isInteger, 'a whole number'))

/** OpenAI allows 0, which vLLM refuses at every version. */
export const topP = v.nullish(numberWhere((value) => value > 0 && value <= 1, 'a number above 0 and up to 1'))

const modelName = 'the name of a model, a string'

/** Without a name, vLLM takes the model that it was started with; whether the fleet can do so, routing knows. */
export const model = v.nullish(v.custom<string>((value) => typeof value === 'string', modelName))

export const requiredModel = v.custom<string>((value) => typeof value === 'string', modelName)

export const boolean = v.nullish(
  v.custom<unknown>((value) => laxBoolean(value) !== undefined, 'true or false'),
)

export const object = v.nullish(v.custom<object>(isObject, 'an object'))

/** What the generation requests have in common, first the fields that routing needs. */
export const generation = {
  model,
  stream: boolean,
  temperature: numberBetween(0, 2),
  top_p: topP,
}
