const words: ReadonlyMap<unknown, boolean> = new Map<unknown, boolean>([
  ...['true', 't', 'yes', 'y', 'on', '1', true, 1].map((word) => [word, true] as const),
  ...['false', 'f', 'no', 'n', 'off', '0', false, 0].map((word) => [word, false] as const),
])

/** A boolean in any spelling that vLLM's validation (pydantic, in its lax mode) takes; undefined for what is none. */
export function laxBoolean(value: unknown): boolean | undefined {
  return words.get(typeof value === 'string' ? value.toLowerCase() : value)
}
