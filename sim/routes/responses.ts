/** `POST /v1/responses` and `GET /v1/responses/{id}`. Text only. */
import { type Answer, immediate, type StreamFormat } from '../answer.ts'
import { badRequest, notFound } from '../api-error.ts'
import { type Call, modelOf, now, type SimContext } from '../call.ts'
import { eventStream, lengthOf, reportedCache } from '../generation.ts'
import { contentText, type Prompt, promptOf } from '../prompt.ts'
import { flag, type Json, parseBody, required } from '../request-body.ts'
import { type ResponseEnvelope, responseBody, responseStream } from '../response-stream.ts'
import { textOf, textSeed, tokenAt } from '../text.ts'

export function responses(sim: SimContext, call: Call): Answer {
  const body = parseBody(call.body)
  const model = modelOf(sim, body)
  const prompt = inputOf(body)
  const previous = body.previous_response_id
  if (typeof previous === 'string') storedBody(sim, previous)
  const { tokens, reason } = lengthOf(sim, body, ['max_output_tokens'], prompt)
  const seed = textSeed(prompt.text, sim.settings.seed)
  const id = `resp_${sim.newId()}`
  const envelope: ResponseEnvelope = {
    id,
    itemId: `msg_${sim.newId()}`,
    createdAt: now(),
    model,
    inputTokens: prompt.tokens,
    steps: tokens,
    reason,
    token: (step) => tokenAt(seed, step),
    text: () => textOf(seed, tokens),
    cached: (count) => reportedCache(sim, count),
    done: (text) => {
      if (body.store !== false) sim.responses.keep(id, text)
    },
  }
  const stream: StreamFormat | undefined = flag(body, 'stream') ? responseStream(envelope) : undefined
  return {
    contentType: stream ? eventStream : 'application/json',
    model,
    prompt,
    steps: tokens,
    tokensPerStep: 1,
    ...(stream && { stream }),
    body: (cachedTokens) => responseBody(envelope, cachedTokens),
  }
}

export function getResponse(sim: SimContext, call: Call): Answer {
  return immediate(storedBody(sim, idOf(call)))
}

/** Only background responses can be cancelled, and none is simulated. */
export function cancelResponse(sim: SimContext, call: Call): Answer {
  storedBody(sim, idOf(call))
  throw badRequest('Cannot cancel a synchronous response.', 'response_id')
}

function idOf({ path }: Call): string {
  return path.split('/')[3] ?? ''
}

function storedBody(sim: SimContext, id: string): string {
  const body = sim.responses.get(id)
  if (body === undefined) throw notFound(`Response with id '${id}' not found.`, 'response_id')
  return body
}

/** `input`: a text or a list of items with contents; `instructions` come before it. */
function inputOf(body: Json): Prompt {
  const input = required(body, 'input')
  if (typeof input !== 'string' && !Array.isArray(input)) {
    throw badRequest('input must be a string or a list of items', 'input')
  }
  return promptOf(contentText(body.instructions) + contentText(input))
}
