import { burst, model } from '../workers/answers.ts'
import { startStreamWorkers } from '../workers/stream-workers.ts'
import type { Cell } from './cell.ts'
import { saturation } from './saturation.ts'

const tokens = 16

/** A long prompt, answered by a short stream that comes at once: what a body costs. */
export function prompt(name: string, kilobytes: number, connections: number): Cell {
  return saturation({
    name,
    about: `prompts of ${kilobytes} KB, a stream of ${tokens} tokens as answer, ${connections} connections`,
    connections,
    path: '/v1/chat/completions',
    body: promptBody(kilobytes * 1000),
    expected: burst(tokens),
    startWorkers: (directory) => startStreamWorkers({ count: 7, tokens, pace: 0, directory }),
  })
}

/** A chat of several turns, of text as it is: with line breaks, quotes and letters beyond ASCII. */
function promptBody(bytes: number): string {
  const sentence = 'The quick brown fox said “hello” to the lazy dog,\nand the dog replied: "naïve café"?\n'
  const turns = 8
  const body = (content: string): string =>
    JSON.stringify({
      model,
      stream: true,
      messages: Array.from({ length: turns }, (_, turn) => ({
        role: turn % 2 === 0 ? 'user' : 'assistant',
        content,
      })),
    })
  const perSentence = Buffer.byteLength(JSON.stringify(sentence)) - 2
  const sentences = Math.max(1, Math.round((bytes - Buffer.byteLength(body(''))) / turns / perSentence))
  return body(sentence.repeat(sentences))
}
