import { model } from '../workers/answers.ts'
import type { Cell } from './cell.ts'
import { paced } from './paced.ts'
import { prompt } from './prompt.ts'
import { saturation } from './saturation.ts'

const shortRequest = JSON.stringify({ model, prompt: 'Test', max_tokens: 10 })

const json = (connections: number): Cell =>
  saturation({
    name: `json-${connections}`,
    about: `answers of 300 bytes, ${connections} connections`,
    connections,
    body: shortRequest,
  })

export const cells: readonly Cell[] = [
  json(1),
  json(32),
  json(256),
  prompt('prompt-2k', 2, 32),
  prompt('prompt-16k', 16, 32),
  prompt('prompt-220k', 220, 32),
  prompt('prompt-1m', 1000, 16),
  paced(200),
  paced(1000),
]

export const quickCells = ['json-32', 'sse-paced-200', 'prompt-220k']
