/** Prompts of every API as plain text, of which four characters are one token. */
import { badRequest } from './api-error.ts'
import { isObject } from './request-body.ts'

export interface Prompt {
  text: string
  tokens: number
}

/** Four characters are one token, rounded up; even an empty prompt has one (the begin-of-sequence token). */
export function promptOf(text: string): Prompt {
  return { text, tokens: Math.max(1, Math.ceil(text.length / 4)) }
}

/** Joins prompts into one; the tokens are the sum of theirs. */
export function joined(prompts: readonly Prompt[]): Prompt {
  if (prompts.length === 1) return prompts[0] as Prompt
  let text = ''
  let tokens = 0
  for (const prompt of prompts) {
    text += prompt.text
    tokens += prompt.tokens
  }
  return { text, tokens }
}

/** `prompt` or `input`: one text, several, token ids, or several lists of token ids. Throws 400. */
export function promptsOf(value: unknown, name: string): Prompt[] {
  if (typeof value === 'string') return [promptOf(value)]
  if (!Array.isArray(value) || value.length === 0) throw badPrompt(name)
  const items: unknown[] = value
  if (items.every((item) => typeof item === 'string')) return items.map(promptOf)
  if (isTokenIds(items)) return [promptOfIds(items)]
  return items.map((item) => {
    if (!isTokenIds(item) || item.length === 0) throw badPrompt(name)
    return promptOfIds(item)
  })
}

function badPrompt(name: string): Error {
  return badRequest(`${name} must be a string, an array of strings, token ids or arrays of token ids`, name)
}

function isTokenIds(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((item) => Number.isInteger(item))
}

/** A token id becomes four characters, so that counts and prefix blocks come out as for text. */
function promptOfIds(ids: readonly number[]): Prompt {
  let text = ''
  for (const id of ids) text += String.fromCharCode(id & 0xffff, (id >>> 16) & 0xffff, 0x20, 0x20)
  return { text, tokens: ids.length }
}

/** The text of chat messages: the sum over their contents, text parts of multi-part contents included. Throws 400. */
export function chatPrompt(messages: unknown): Prompt {
  if (!Array.isArray(messages) || messages.length === 0) {
    throw badRequest('messages must be a list with at least one message', 'messages')
  }
  let text = ''
  for (const message of messages) {
    if (!isObject(message) || typeof message.role !== 'string') {
      throw badRequest('every message must be an object with a role', 'messages')
    }
    text += contentText(message.content)
  }
  return promptOf(text)
}

/** The text of one content: a string, or the text of its parts; parts of other kinds count as nothing. */
export function contentText(content: unknown): string {
  if (typeof content === 'string') return content
  if (!Array.isArray(content)) return ''
  let text = ''
  for (const part of content) {
    if (typeof part === 'string') text += part
    else if (isObject(part)) text += typeof part.text === 'string' ? part.text : contentText(part.content)
  }
  return text
}
