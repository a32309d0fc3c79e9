export type JsonValue = string | number | boolean | null | JsonObject | readonly JsonValue[]

/** A field can be absent, so every one may read as `undefined`. */
export interface JsonObject {
  readonly [key: string]: JsonValue | undefined
}

/** An object of unknown fields. */
export type Json = Record<string, unknown>

export function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The object that the text is; undefined when it is anything else. */
export function parseObject(text: string): Json | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return isObject(value) ? value : undefined
  } catch {
    return undefined
  }
}
