import type { Dialect } from '../../http/errors.ts'
import { isObject, type Json, parseObject } from '../../http/json/json.ts'
import { type WorkerError, workerError } from './worker-error.ts'

/**
 * What one server-sent event means to the relay.
 * - `silent`: nothing a user would see: a comment, a role, an announcement.
 * - `content`: text, a tool call, a finish reason: the answer has begun.
 * - `error`: the worker says within the stream that it failed.
 * - `end`: the stream is complete.
 */
export type Meaning = 'silent' | 'content' | 'error' | 'end'

/** Parses one event fully. Used only before the commit, because that decision depends on it. */
export function readEvent(event: Buffer, dialect: Dialect): { meaning: Meaning; error?: WorkerError } {
  const data = dataOf(event)
  if (data === '') return { meaning: 'silent' }
  if (data === '[DONE]') return { meaning: 'end' }
  const json = parseObject(data)
  if (json === undefined) return { meaning: 'content' }
  if (isObject(json.error)) return { meaning: 'error', error: workerError(json.error) }
  if (typeof json.error === 'string') return { meaning: 'error', error: workerError({ message: json.error }) }
  return dialect === 'openai' ? { meaning: openaiMeaning(json) } : typedMeaning(json)
}

// Encoded once: searching a Buffer for a string encodes the string with every call.
const dataField = Buffer.from('data:')
/** The field may stand there without a colon, too. */
const dataWord = dataField.subarray(0, 4)
const choicesField = Buffer.from('"choices":[')
const firstText = '{"index":0,"delta":{"content":"'
const role = Buffer.from('"role":"')

/** Reads one event by its first bytes: for the many events after the commit. */
export function glanceAtEvent(event: Buffer, dialect: Dialect): Meaning {
  const data = dataFieldOf(event)
  if (data === -1) return 'silent'
  const at = event[data + 5] === 0x20 ? data + 6 : data + 5
  if (startsAt(event, at, '[DONE]')) return 'end'
  if (startsAt(event, at, '{"error"')) return 'error'
  if (dialect !== 'openai') return glanceAtTyped(event, at)
  const choices = event.indexOf(choicesField, at)
  if (choices !== -1) {
    const first = choices + choicesField.length
    if (event[first] === 0x5d) return 'silent'
    // The way vLLM writes a token.
    if (startsAt(event, first, firstText) && event[first + firstText.length] !== 0x22) return 'content'
  }
  // A role may come alone and is no token then. No text can hold this: its quotes would be escaped.
  return event.includes(role, Math.max(choices, at)) ? readEvent(event, dialect).meaning : 'content'
}

const typedEnds = new Set(['response.completed', 'response.incomplete', 'message_stop'])
const typedErrors = new Set(['response.failed', 'error'])
const typedSilent = new Set([
  'response.created',
  'response.queued',
  'response.in_progress',
  'response.output_item.added',
  'response.content_part.added',
  'response.reasoning_part.added',
  'message_start',
  'content_block_start',
  'ping',
])
/** The seal on what the model thought: no token. Within a text, its quotes would be escaped. */
const signature = Buffer.from('"signature_delta"')
/** Events that follow the last token, and are none. */
const typedClosing = /^(?:response\.(?:.*\.)?done|content_block_stop|message_delta)$/

function typedMeaning(json: Json): { meaning: Meaning; error?: WorkerError } {
  const type = typeof json.type === 'string' ? json.type : ''
  if (typedErrors.has(type)) {
    const response = isObject(json.response) ? json.response : json
    return { meaning: 'error', error: workerError(isObject(response.error) ? response.error : json) }
  }
  if (typedEnds.has(type)) return { meaning: 'end' }
  return { meaning: typedSilent.has(type) ? 'silent' : 'content' }
}

/** The type stands in the `event:` line; servers that leave it out write it first into the data. */
function glanceAtTyped(event: Buffer, dataAt: number): Meaning {
  const head = event.toString('latin1', 0, Math.min(event.length, dataAt + 80))
  const type = /^event: ?(\S+)/m.exec(head)?.[1] ?? /"type": ?"([^"]+)"/.exec(head)?.[1] ?? ''
  if (typedEnds.has(type)) return 'end'
  if (typedErrors.has(type)) return 'error'
  if (type === 'content_block_delta' && event.includes(signature)) return 'silent'
  return typedSilent.has(type) || typedClosing.test(type) ? 'silent' : 'content'
}

function openaiMeaning({ choices, ...rest }: Json): Meaning {
  if (!Array.isArray(choices)) return Object.keys(rest).length === 0 ? 'silent' : 'content'
  return choices.some(bearsContent) ? 'content' : 'silent'
}

const emptyFields = new Set(['role', 'index'])

/** A choice that says more than whose turn it is. */
function bearsContent(choice: unknown): boolean {
  if (!isObject(choice)) return true
  // Log probabilities without text belong to a token that is only a part of a character.
  if (choice.finish_reason != null || choice.logprobs != null) return true
  // Tokens in, tokens out: no text at all; or the ids beside a text that is not complete yet.
  if (Array.isArray(choice.token_ids) && choice.token_ids.length > 0) return true
  if (typeof choice.text === 'string') return choice.text !== ''
  if (!isObject(choice.delta)) return choice.delta !== undefined && choice.delta !== null
  return Object.entries(choice.delta).some(([name, value]) => !emptyFields.has(name) && !isEmpty(value))
}

function isEmpty(value: unknown): boolean {
  return value === null || value === undefined || value === '' || (Array.isArray(value) && value.length === 0)
}

/** Where the data begins; -1 where there is none. The same text within a comment or another field is no data. */
function dataFieldOf(event: Buffer): number {
  if (startsAt(event, 0, 'data:')) return 0
  let at = event.indexOf(dataField)
  while (at !== -1 && !lineEnds.has(event[at - 1])) at = event.indexOf(dataField, at + 1)
  return at
}

/** What stands before the first byte of a line: a line end, or the last byte of a byte order mark. */
const lineEnds = new Set<number | undefined>([0x0a, 0x0d, 0xbf])

function dataOf(event: Buffer): string {
  let data = ''
  const text = event.toString('utf8')
  // A stream may begin with a byte order mark (WHATWG HTML, section 9.2.5).
  for (const line of (text.charCodeAt(0) === 0xfeff ? text.slice(1) : text).split(/\r\n|\r|\n/)) {
    if (line.startsWith('data:')) data += `${data === '' ? '' : '\n'}${line.slice(line[5] === ' ' ? 6 : 5)}`
  }
  return data
}

function startsAt(bytes: Buffer, at: number, word: string): boolean {
  if (at + word.length > bytes.length) return false
  for (let index = 0; index < word.length; index++) {
    if (bytes[at + index] !== word.charCodeAt(index)) return false
  }
  return true
}

/** An event without a data line is none to whoever reads it: a comment, an empty line, an id. */
export function bearsData(event: Buffer): boolean {
  return event.subarray(0, 4).equals(dataWord) || event.includes('\ndata') || event.includes('\rdata')
}
