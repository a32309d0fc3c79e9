/**
 * What a healthy vLLM server answers, per path: the plain JSON body, and the stream as three groups of events, so that
 * a fault can strike between them. Shapes as vLLM sends them; `data:` lines with LF, no comments.
 */

export interface Answer {
  readonly json: string
  /** Events that carry no content yet: the role-only delta, `message_start`, `response.created`. May be empty. */
  readonly prelude: readonly string[]
  /** One event per token. */
  readonly tokens: readonly string[]
  /** Finish reason, usage and end mark. */
  readonly finish: readonly string[]
}

export interface AnswerOptions {
  readonly model: string
  readonly id: string
  /** Number of tokens. */
  readonly tokens: number
  /** `stream_options.include_usage` of the request. */
  readonly usage: boolean
}

const words = ['Hello', ' from', ' a', ' wörker', ' 🙂', ' with', ' tokens', '.']
const created = 1_700_000_000
const promptTokens = 3

const data = (value: object): string => `data: ${JSON.stringify(value)}\n\n`
const named = (value: { readonly type: string; readonly [field: string]: unknown }): string =>
  `event: ${value.type}\n${data(value)}`
const done = 'data: [DONE]\n\n'

export const tokenText = (index: number): string => words[index % words.length] ?? ''

const texts = (count: number): string[] => Array.from({ length: count }, (_, index) => tokenText(index))

/** The answer to a POST on `path`; undefined for a path on which a stream makes no sense. */
export function answerFor(path: string, options: AnswerOptions): Answer {
  if (path === '/v1/chat/completions') return chat(options)
  if (path === '/v1/completions') return completions(options)
  if (path === '/v1/responses') return responses(options)
  if (path === '/v1/messages') return messages(options)
  if (path === '/v1/embeddings') return jsonOnly(embeddings(options))
  if (path === '/v1/messages/count_tokens') return jsonOnly({ input_tokens: promptTokens })
  return jsonOnly({ id: options.id, model: options.model, path })
}

/** Whether vLLM would answer such a request with a stream when its body says `"stream": true`. */
export function canStream(path: string): boolean {
  return ['/v1/chat/completions', '/v1/completions', '/v1/responses', '/v1/messages'].includes(path)
}

function jsonOnly(json: object): Answer {
  return { json: JSON.stringify(json), prelude: [], tokens: [], finish: [] }
}

function usageOf({ tokens }: AnswerOptions) {
  return { prompt_tokens: promptTokens, completion_tokens: tokens, total_tokens: promptTokens + tokens }
}

function chat(options: AnswerOptions): Answer {
  const { model, tokens } = options
  const id = `chatcmpl-${options.id}`
  const chunk = (choices: object[], rest: object = {}) =>
    data({ id, object: 'chat.completion.chunk', created, model, choices, ...rest })
  const delta = (value: object, reason: string | null) =>
    chunk([{ index: 0, delta: value, logprobs: null, finish_reason: reason }])
  const message = { role: 'assistant', content: texts(tokens).join('') }
  return {
    json: JSON.stringify({
      id,
      object: 'chat.completion',
      created,
      model,
      choices: [{ index: 0, message, logprobs: null, finish_reason: 'stop' }],
      usage: usageOf(options),
    }),
    prelude: [delta({ role: 'assistant', content: '' }, null)],
    tokens: texts(tokens).map((content) => delta({ content }, null)),
    finish: [delta({}, 'stop'), ...(options.usage ? [chunk([], { usage: usageOf(options) })] : []), done],
  }
}

function completions(options: AnswerOptions): Answer {
  const { model, tokens } = options
  const id = `cmpl-${options.id}`
  const body = (choices: object[], rest: object = {}) => ({
    id,
    object: 'text_completion',
    created,
    model,
    choices,
    ...rest,
  })
  const choice = (text: string, reason: string | null) => [
    { index: 0, text, logprobs: null, finish_reason: reason, stop_reason: null },
  ]
  return {
    json: JSON.stringify(body(choice(texts(tokens).join(''), 'length'), { usage: usageOf(options) })),
    prelude: [],
    tokens: texts(tokens).map((text, index) =>
      data(body(choice(text, index === tokens - 1 ? 'length' : null))),
    ),
    finish: [...(options.usage ? [data(body([], { usage: usageOf(options) }))] : []), done],
  }
}

function messages({ id: suffix, model, tokens }: AnswerOptions): Answer {
  const head = { id: `msg_${suffix}`, type: 'message', role: 'assistant', model }
  const usage = { input_tokens: promptTokens, output_tokens: tokens }
  const content = [{ type: 'text', text: texts(tokens).join('') }]
  return {
    json: JSON.stringify({ ...head, content, stop_reason: 'end_turn', stop_sequence: null, usage }),
    prelude: [
      named({
        type: 'message_start',
        message: { ...head, content: [], usage: { ...usage, output_tokens: 0 } },
      }),
      named({ type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } }),
    ],
    tokens: texts(tokens).map((text) =>
      named({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } }),
    ),
    finish: [
      named({ type: 'content_block_stop', index: 0 }),
      named({ type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage }),
      named({ type: 'message_stop' }),
      done,
    ],
  }
}

function responses({ id: suffix, model, tokens }: AnswerOptions): Answer {
  const text = texts(tokens).join('')
  const usage = { input_tokens: promptTokens, output_tokens: tokens, total_tokens: promptTokens + tokens }
  const part = { type: 'output_text', text, annotations: [] }
  const item = {
    id: `msg_${suffix}`,
    type: 'message',
    role: 'assistant',
    status: 'completed',
    content: [part],
  }
  const head = { id: `resp_${suffix}`, object: 'response', created_at: created, model }
  const complete = { ...head, status: 'completed', output: [item], usage }
  const place = { item_id: item.id, output_index: 0, content_index: 0 }
  let sequence = 0
  const event = (type: string, rest: object) => named({ type, sequence_number: sequence++, ...rest })
  const running = { ...head, status: 'in_progress', output: [] }
  return {
    json: JSON.stringify(complete),
    prelude: [
      event('response.created', { response: running }),
      event('response.in_progress', { response: running }),
      event('response.output_item.added', {
        output_index: 0,
        item: { ...item, status: 'in_progress', content: [] },
      }),
      event('response.content_part.added', { ...place, part: { ...part, text: '' } }),
    ],
    tokens: texts(tokens).map((delta) =>
      event('response.output_text.delta', { ...place, delta, logprobs: [] }),
    ),
    finish: [
      event('response.output_text.done', { ...place, text, logprobs: [] }),
      event('response.content_part.done', { ...place, part }),
      event('response.output_item.done', { output_index: 0, item }),
      event('response.completed', { response: complete }),
    ],
  }
}

function embeddings({ id, model }: AnswerOptions): object {
  return {
    id: `embd-${id}`,
    object: 'list',
    created,
    model,
    data: [{ index: 0, object: 'embedding', embedding: [0.125, -0.25, 0.5, 1] }],
    usage: { prompt_tokens: promptTokens, completion_tokens: 0, total_tokens: promptTokens },
  }
}

/** An error inside a stream, in vLLM's own shape. */
export function workerErrorEvent(path: string, message = 'EngineCore encountered an issue'): string {
  if (path === '/v1/messages') {
    return named({ type: 'error', error: { type: 'internal_error', message } })
  }
  return data({ error: { message, type: 'InternalServerError', param: null, code: 500 } })
}

/** The body of an error status, in vLLM's own shape. */
export function workerErrorBody(status: number, message = `scripted ${status}`): string {
  return JSON.stringify({ error: { message, type: 'InternalServerError', param: null, code: status } })
}
