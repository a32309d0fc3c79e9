import { badRequest } from './api-error.ts'

/** A parsed JSON object of unknown content. */
export type Json = Record<string, unknown>

/** Parses a request body that must be a JSON object. Throws 400. */
export function parseBody(bytes: Buffer): Json {
  let value: unknown
  try {
    value = JSON.parse(bytes.toString('utf8'))
  } catch (error) {
    throw badRequest(`JSON decode error: ${error instanceof Error ? error.message : String(error)}`, 'body.0')
  }
  if (!isObject(value))
    throw badRequest('Input should be a valid dictionary or object to extract fields from')
  return value
}

export function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** A field that must be there. Throws 400. */
export function required(body: Json, name: string): unknown {
  const value = body[name]
  if (value === undefined || value === null) throw badRequest(`Field required: ${name}`, name)
  return value
}

/** An optional whole number, null counting as absent. Throws 400 when it is something else or below `least`. */
export function wholeNumber(body: Json, name: string, least: number): number | undefined {
  const value = body[name]
  if (value === undefined || value === null) return undefined
  if (typeof value !== 'number' || !Number.isInteger(value)) {
    throw badRequest(`Input should be a valid integer: ${name}`, name)
  }
  if (value < least) throw badRequest(`${name} must be at least ${least}, got ${value}.`, name)
  return value
}

/** An optional boolean, false when absent. Throws 400 when it is something else. */
export function flag(body: Json, name: string): boolean {
  const value = body[name]
  if (value === undefined || value === null) return false
  if (typeof value !== 'boolean') throw badRequest(`Input should be a valid boolean: ${name}`, name)
  return value
}

/** An optional object, empty when absent. Throws 400 when it is something else. */
export function objectField(body: Json, name: string): Json {
  const value = body[name]
  if (value === undefined || value === null) return {}
  if (!isObject(value)) throw badRequest(`Input should be a valid dictionary: ${name}`, name)
  return value
}
