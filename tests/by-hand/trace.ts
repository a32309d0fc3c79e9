/** Recorded requests, and prompts made to their measure. */

import { readFile } from 'node:fs/promises'
import { gunzipSync } from 'node:zlib'

export interface TraceRequest {
  /** Milliseconds. */
  readonly timestamp: number
  /** Tokens. */
  readonly input_length: number
  /** Tokens. */
  readonly output_length: number
  /** One for each block of 512 tokens of the prompt. */
  readonly hash_ids: readonly number[]
}

const blockTokens = 512
/** The simulated workers count that many characters as one token. */
const charactersPerToken = 4

/** The first `count` requests of a file of JSON lines, packed with gzip or not. Throws with the line that is none. */
export async function readTrace(file: string, count: number): Promise<TraceRequest[]> {
  const bytes = await readFile(file)
  const text = (file.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString()
  const lines = text.split('\n').filter((line) => line.trim() !== '')
  return lines.slice(0, count).map((line, index) => {
    const request = JSON.parse(line) as TraceRequest
    const { timestamp, input_length, output_length, hash_ids } = request
    const numbers = [timestamp, input_length, output_length]
    if (!numbers.every(Number.isFinite) || !Array.isArray(hash_ids)) {
      throw new Error(`${file}, line ${index + 1}: no request of a trace: ${line.slice(0, 200)}`)
    }
    return request
  })
}

/** Text of exactly the request's length, in which equal block ids are equal text. */
export function promptOf({ input_length, hash_ids }: TraceRequest): string {
  const text = hash_ids.map(blockText).join('')
  return text.padEnd(input_length * charactersPerToken, '.').slice(0, input_length * charactersPerToken)
}

function blockText(id: number): string {
  const word = `block ${id} says ${(id * 2654435761) % 4294967296}; `
  const length = blockTokens * charactersPerToken
  return word.repeat(Math.ceil(length / word.length)).slice(0, length)
}
