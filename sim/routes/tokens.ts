/** `/tokenize` and `/detokenize`: four characters per token, reversible for ASCII text. */
import { type Answer, json } from '../answer.ts'
import { badRequest } from '../api-error.ts'
import { type Call, modelOf, type SimContext } from '../call.ts'
import { chatPrompt } from '../prompt.ts'
import { flag, parseBody, required } from '../request-body.ts'

const question = '?'.charCodeAt(0)

export function tokenize(sim: SimContext, call: Call): Answer {
  const body = parseBody(call.body)
  modelOf(sim, body)
  const prompt = body.messages === undefined ? required(body, 'prompt') : chatPrompt(body.messages).text
  if (typeof prompt !== 'string') throw badRequest('Input should be a valid string: prompt', 'prompt')
  const tokens: number[] = []
  for (let at = 0; at < prompt.length; at += 4) tokens.push(pack(prompt, at))
  const { maxModelLen } = sim.settings
  return json({
    count: tokens.length,
    max_model_len: Number.isFinite(maxModelLen) ? maxModelLen : 131_072,
    tokens,
    token_strs: flag(body, 'return_token_strs') ? tokens.map(unpack) : null,
  })
}

export function detokenize(sim: SimContext, call: Call): Answer {
  const body = parseBody(call.body)
  modelOf(sim, body)
  const tokens = required(body, 'tokens')
  if (!Array.isArray(tokens) || !tokens.every((token) => Number.isInteger(token))) {
    throw badRequest('Input should be a valid list of integers: tokens', 'tokens')
  }
  return json({ prompt: tokens.map(unpack).join('') })
}

/** Up to four characters of seven bits; others become question marks. */
function pack(text: string, at: number): number {
  let token = 0
  for (let i = Math.min(at + 4, text.length) - 1; i >= at; i--) {
    const code = text.charCodeAt(i)
    token = token * 128 + (code > 0 && code < 128 ? code : question)
  }
  return token
}

function unpack(token: number): string {
  let text = ''
  for (let rest = token; rest > 0; rest = Math.floor(rest / 128)) text += String.fromCharCode(rest % 128)
  return text
}
