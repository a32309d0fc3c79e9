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
  return skeleton(envelope, envelope.reason === 'length' ? 'incomplete' : 'completed', {
    output: [item(envelope, 'completed', [part(envelope.text(), null)])],
    usage: {
      input_tokens: inputTokens,
      input_tokens_details: {
        cached_tokens: envelope.cached(cachedTokens) ?? 0,
        cache_write_tokens: 0,
        input_tokens_per_turn: [],
        cached_tokens_per_turn: [],
      },
      output_tokens: steps,
      output_tokens_details: {
        reasoning_tokens: 0,
        tool_output_tokens: 0,
        output_tokens_per_turn: [],
        tool_output_tokens_per_turn: [],
      },
      total_tokens: inputTokens + steps,
    },
  })
}

/** In vLLM's order, which is not that of OpenAI's documentation. */
function skeleton(
  { id, createdAt, model, steps }: ResponseEnvelope,
  status: Status,
  { output, usage }: { output: unknown[]; usage: unknown } = { output: [], usage: null },
) {
  return {
    id,
    created_at: createdAt,
    incomplete_details: status === 'incomplete' ? { reason: 'max_output_tokens' } : null,
    instructions: null,
    metadata: null,
    model,
    object: 'response',
    output,
    parallel_tool_calls: true,
    temperature: 1,
    tool_choice: 'auto',
    tools: [],
    top_p: 1,
    background: false,
    max_output_tokens: steps,
    max_tool_calls: null,
    previous_response_id: null,
    prompt: null,
    reasoning: null,
    service_tier: 'auto',
    status,
    text: null,
    top_logprobs: null,
    truncation: 'disabled',
    usage,
    user: null,
    presence_penalty: 0,
    frequency_penalty: 0,
    kv_transfer_params: null,
    ec_transfer_params: null,
    input_messages: null,
    output_messages: null,
  }
}

function item({ itemId }: ResponseEnvelope, status: 'in_progress' | 'completed', content: unknown[]) {
  return { id: itemId, content, role: 'assistant', status, type: 'message', phase: null }
}

/** `logprobs` is an empty list as long as the text is not complete, and null then. */
function part(text: string, logprobs: [] | null) {
  return { annotations: [], text, type: 'output_text', logprobs }
}

/** vLLM sends no `[DONE]` here, and ends with `response.completed` even when the status is `incomplete`. */
export function responseStream(envelope: ResponseEnvelope): StreamFormat {
  const item_id = envelope.itemId
  const type = 'response.output_text.delta'
  const beforeDelta = `event: ${type}\ndata: {"content_index":0,"delta":"`
  const behindDelta = `","item_id":"${item_id}","logprobs":[],"output_index":0,"sequence_number":`
  // Four events come before the first delta.
  const numberOf = (step: number) => step + 4

  return {
    opening() {
      const response = skeleton(envelope, 'in_progress')
      return (
        event('response.created', 0, { response }) +
        event('response.in_progress', 1, { response }) +
        event('response.output_item.added', 2, { item: item(envelope, 'in_progress', []), output_index: 0 }) +
        event('response.content_part.added', 3, {
          content_index: 0,
          item_id,
          output_index: 0,
          part: part('', []),
        })
      )
    },
    event: (step) =>
      `${beforeDelta}${envelope.token(step)}${behindDelta}${numberOf(step)},"type":"${type}"}\n\n`,
    closing(cachedTokens) {
      const text = envelope.text()
      const place = { content_index: 0, item_id }
      const at = numberOf(envelope.steps)
      const response = finished(envelope, cachedTokens)
      envelope.done(JSON.stringify(response))
      return (
        event('response.output_text.done', at, { ...place, logprobs: [], output_index: 0 }, { text }) +
        event('response.content_part.done', at + 1, { ...place, output_index: 0, part: part(text, null) }) +
        event('response.output_item.done', at + 2, {
          item: item(envelope, 'completed', [part(text, null)]),
          output_index: 0,
        }) +
        event('response.completed', at + 3, { response })
      )
    },
    failure: (message) => event('error', 0, { code: 'server_error', message, param: null }),
  }
}

/** Fields by their names, as vLLM has them: `behind` are those that come after the number. */
function event(type: string, number: number, fields: object, behind: object = {}): string {
  const data = { ...fields, sequence_number: number, ...behind, type }
  return `event: ${type}\ndata: ${JSON.stringify(data)}\n\n`
}
