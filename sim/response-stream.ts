/** The object and the events of an answer of `/v1/responses`. */
import type { StreamFormat } from './answer.ts'

/** What is the same in every event of an answer. */
export interface ResponseEnvelope {
  id: string
  itemId: string
  createdAt: number
  model: string
  inputTokens: number
  steps: number
  reason: 'length' | 'stop'
  token(step: number): string
  text(): string
  cached(count: number): number | undefined
  /** Called with the finished answer as JSON text. */
  done(body: string): void
}

type Status = 'in_progress' | 'completed' | 'incomplete'

/** The finished answer as JSON text. */
export function responseBody(envelope: ResponseEnvelope, cachedTokens: number): string {
  const body = JSON.stringify(finished(envelope, cachedTokens))
  envelope.done(body)
  return body
}

function finished(envelope: ResponseEnvelope, cachedTokens: number) {
  const { inputTokens, steps } = envelope
  return {
    ...skeleton(envelope, envelope.reason === 'length' ? 'incomplete' : 'completed'),
    output: [item(envelope, 'completed', [part(envelope.text())])],
    usage: {
      input_tokens: inputTokens,
      input_tokens_details: { cached_tokens: envelope.cached(cachedTokens) ?? 0 },
      output_tokens: steps,
      output_tokens_details: { reasoning_tokens: 0 },
      total_tokens: inputTokens + steps,
    },
  }
}

function skeleton({ id, createdAt, model }: ResponseEnvelope, status: Status) {
  return {
    id,
    object: 'response',
    created_at: createdAt,
    status,
    error: null,
    incomplete_details: status === 'incomplete' ? { reason: 'max_output_tokens' } : null,
    instructions: null,
    metadata: null,
    model,
    output: [] as unknown[],
    parallel_tool_calls: true,
    temperature: 1,
    tool_choice: 'auto',
    tools: [],
    top_p: 1,
    usage: null as unknown,
  }
}

function item({ itemId }: ResponseEnvelope, status: 'in_progress' | 'completed', content: unknown[]) {
  return { id: itemId, type: 'message', role: 'assistant', status, content }
}

function part(text: string) {
  return { type: 'output_text', text, annotations: [], logprobs: null }
}

/** vLLM sends no `[DONE]` here, and ends with `response.completed` even when the status is `incomplete`. */
export function responseStream(envelope: ResponseEnvelope): StreamFormat {
  const place = { output_index: 0, content_index: 0, item_id: envelope.itemId }
  const delta =
    'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","output_index":0,' +
    `"content_index":0,"item_id":"${envelope.itemId}","logprobs":[],"delta":"`
  // Four events come before the first delta.
  const numberOf = (step: number) => step + 4

  return {
    opening() {
      const response = skeleton(envelope, 'in_progress')
      return (
        event('response.created', 0, { response }) +
        event('response.in_progress', 1, { response }) +
        event('response.output_item.added', 2, { output_index: 0, item: item(envelope, 'in_progress', []) }) +
        event('response.content_part.added', 3, { ...place, part: part('') })
      )
    },
    event: (step) => `${delta}${envelope.token(step)}","sequence_number":${numberOf(step)}}\n\n`,
    closing(cachedTokens) {
      const text = envelope.text()
      const at = numberOf(envelope.steps)
      const response = finished(envelope, cachedTokens)
      envelope.done(JSON.stringify(response))
      return (
        event('response.output_text.done', at, { ...place, logprobs: [], text }) +
        event('response.content_part.done', at + 1, { ...place, part: part(text) }) +
        event('response.output_item.done', at + 2, {
          output_index: 0,
          item: item(envelope, 'completed', [part(text)]),
        }) +
        event('response.completed', at + 3, { response })
      )
    },
    failure: (message) => event('error', 0, { code: 'server_error', message, param: null }),
  }
}

function event(type: string, number: number, fields: Record<string, unknown>): string {
  return `event: ${type}\ndata: ${JSON.stringify({ type, ...fields, sequence_number: number })}\n\n`
}
