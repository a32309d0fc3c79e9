import type { JsonObject } from './json/json.ts'

/** How many answers a request asks for. One prompt, of text or of token ids, has `n`; several have so many each. */
export function choicesIn(payload: JsonObject | undefined): number {
  const { n, prompt } = payload ?? {}
  const each = typeof n === 'number' && n > 1 ? n : 1
  return Array.isArray(prompt) && typeof prompt[0] !== 'number' ? each * Math.max(1, prompt.length) : each
}
