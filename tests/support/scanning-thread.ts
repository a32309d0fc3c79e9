/** A thread that looks at bytes as the relay does, says how many pieces it has looked at, and ends. */

import { parentPort } from 'node:worker_threads'
import { EventScanner, eachEvent } from '../../app/relay/event-scanner.ts'
import { glanceAtEvent, readEvent } from '../../app/relay/grammar.ts'
import { findUsage } from '../../app/relay/usage.ts'

const pieces = [
  ...[
    '',
    'data: a',
    'data: [DONE]',
    ': data: a',
    ':',
    'event: ping',
    '"usage":null',
    '"usage":{',
    '"usage":{}}',
  ],
  ...['data: {"usage":null}', 'xdata: {"choices":[],"usage":{"prompt_tokens":1}}', '\ufeffdata: a'],
]
const ends = ['', '\n', '\n\n', '\r', '\r\r', '\r\n', '\r\n\r\n', '\r\n\r', '\n\r\n']

let looked = 0
for (const first of pieces) {
  for (const end of ends) {
    for (const last of pieces) {
      const bytes = Buffer.from(first + end + last + end)
      const scanner = new EventScanner()
      for (const chunk of [bytes.subarray(0, 3), bytes.subarray(3)]) scanner.push(chunk)
      eachEvent(bytes, (event) => {
        for (const dialect of ['openai', 'anthropic', 'responses'] as const) {
          readEvent(event, dialect)
          glanceAtEvent(event, dialect)
        }
      })
      findUsage(bytes)
      looked += 1
    }
  }
}
parentPort?.postMessage(looked)
