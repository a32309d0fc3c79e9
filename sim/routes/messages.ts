/** `POST /v1/messages` and `/v1/messages/count_tokens`: Anthropic's API on vLLM. Text only. */
import { type Answer, json, type StreamFormat } from '../answer.ts'
import { answerId, type Call, modelOf, type SimContext } from '../call.ts'
import { eventStream, lengthOf } from '../generation.ts'
import { chatPrompt, contentText, type Prompt, promptOf } from '../prompt.ts'
import { flag, type Json, parseBody, required } from '../request-body.ts'
import { textOf, textSeed, tokenAt } from '../text.ts'

interface Message {
  /** JSON text, quotes included. */
  id: string
  model: string
  seed: number
  inputTokens: number
  steps: number
}

export function countTokens(sim: SimContext, call: Call): Answer {
  const body = parseBody(call.body)
  modelOf(sim, body)
  const { tokens } = promptWithSystem(body)
  return json({ input_tokens: tokens, context_management: { original_input_tokens: tokens } })
}

export function messages(sim: SimContext, call: Call): Answer {
  const body = parseBody(call.body)
  required(body, 'max_tokens')
  const model = modelOf(sim, body)
  const prompt = promptWithSystem(body)
  const { tokens } = lengthOf(sim, body, ['max_tokens'], prompt)
  const message: Message = {
    id: answerId(sim, call, 'chatcmpl'),
    model: JSON.stringify(model),
    seed: textSeed(prompt.text, sim.settings.seed),
    inputTokens: prompt.tokens,
    steps: tokens,
  }
  const stream = flag(body, 'stream')
  return {
    contentType: stream ? eventStream : 'application/json',
    model,
    prompt,
    steps: tokens,
    tokensPerStep: 1,
    ...(stream && { stream: messageStream(message) }),
    body: () => plainBody(message),
  }
}

function promptWithSystem(body: Json): Prompt {
  const { text } = chatPrompt(required(body, 'messages'))
  return promptOf(contentText(body.system) + text)
}

function plainBody({ id, model, seed, inputTokens, steps }: Message): string {
  return (
    `{"id":${id},"type":"message","role":"assistant","content":[{"type":"text","text":"${textOf(seed, steps)}"}],` +
    `"model":${model},"stop_reason":"max_tokens",` +
    `"usage":{"input_tokens":${inputTokens},"output_tokens":${steps}}}`
  )
}

function messageStream({ id, model, seed, inputTokens, steps }: Message): StreamFormat {
  const delta =
    'event: content_block_delta\ndata: {"type":"content_block_delta","delta":{"type":"text_delta","text":"'
  return {
    opening: () =>
      event(
        'message_start',
        `"message":{"id":${id},"type":"message","role":"assistant","content":[],"model":${model},"stop_reason":null,` +
          `"stop_sequence":null,"usage":{"input_tokens":${inputTokens},"output_tokens":0}}`,
      ) +
      event('content_block_start', '"content_block":{"type":"text","text":""},"index":0') +
      event('ping'),
    event: (step) => `${delta}${tokenAt(seed, step)}"},"index":0}\n\n`,
    closing: () =>
      event('content_block_stop', '"index":0') +
      event(
        'message_delta',
        `"delta":{"stop_reason":"max_tokens","stop_sequence":null},` +
          `"usage":{"input_tokens":${inputTokens},"output_tokens":${steps}}`,
      ) +
      event('message_stop'),
    failure: (message) =>
      event('error', `"error":{"type":"internal_error","message":${JSON.stringify(message)}}`),
  }
}

function event(type: string, fields?: string): string {
  return `event: ${type}\ndata: {"type":"${type}"${fields ? `,${fields}` : ''}}\n\n`
}
