import type { Usage } from '../request/request-record.ts'
import { bufferOver } from './event-scanner.ts'

const key = Buffer.from('"usage"')

/**
 * Finds the last `usage` object within the bytes of an answer, a JSON body or the end of a stream, without parsing the
 * rest: an answer with embeddings has megabytes. Quotes within strings are escaped, so the key cannot be text.
 */
export function findUsage(bytes: Uint8Array): Usage | undefined {
  const buffer = bufferOver(bytes)
  for (let at = buffer.lastIndexOf(key); at !== -1; at = at === 0 ? -1 : buffer.lastIndexOf(key, at - 1)) {
    const usage = readUsage(buffer, at + key.length)
    if (usage !== undefined) return usage
  }
  return undefined
}

/** Longest usage object that is looked at; vLLM's has some 200 bytes. */
const maxBytes = 4096

function readUsage(buffer: Buffer, from: number): Usage | undefined {
  const text = buffer.toString('latin1', from, from + maxBytes)
  const open = /^\s*:\s*(?=\{)/.exec(text)
  if (open === null) return undefined
  const start = open[0].length
  let depth = 0
  for (let index = start; index < text.length; index++) {
    if (text[index] === '{') depth += 1
    else if (text[index] === '}' && --depth === 0) return toUsage(text.slice(start, index + 1))
  }
  return undefined
}

interface Counts {
  readonly prompt_tokens?: number
  readonly completion_tokens?: number
  readonly input_tokens?: number
  readonly output_tokens?: number
  readonly prompt_tokens_details?: { readonly cached_tokens?: number } | null
  readonly input_tokens_details?: { readonly cached_tokens?: number } | null
  readonly cache_read_input_tokens?: number
}

function toUsage(text: string): Usage | undefined {
  try {
    const usage = JSON.parse(text) as Counts
    const cached =
      usage.prompt_tokens_details?.cached_tokens ??
      usage.input_tokens_details?.cached_tokens ??
      usage.cache_read_input_tokens
    return {
      prompt: count(usage.prompt_tokens ?? usage.input_tokens),
      completion: count(usage.completion_tokens ?? usage.output_tokens),
      cached: cached === undefined ? undefined : count(cached),
    }
  } catch {
    return undefined
  }
}

function count(value: unknown): number {
  return typeof value === 'number' && value >= 0 ? value : 0
}
