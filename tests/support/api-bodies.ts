import type { Dialect } from '../../http/errors.ts'

/** One of the routes on which a request can be streamed or plain: where it is, and the smallest body that is valid. */
export interface Api {
  readonly name: 'chat' | 'completions' | 'embeddings' | 'messages' | 'responses'
  readonly path: string
  readonly dialect: Dialect
  readonly streams: boolean
  body(model: string, stream: boolean): Record<string, unknown>
}

const messages = [{ role: 'user', content: 'hi' }]

const chat: Api = {
  name: 'chat',
  path: '/v1/chat/completions',
  dialect: 'openai',
  streams: true,
  body: (model, stream) => ({ model, messages, stream }),
}

export const apis: readonly Api[] = [
  chat,
  {
    name: 'completions',
    path: '/v1/completions',
    dialect: 'openai',
    streams: true,
    body: (model, stream) => ({ model, prompt: 'hi', stream }),
  },
  {
    name: 'embeddings',
    path: '/v1/embeddings',
    dialect: 'openai',
    streams: false,
    body: (model) => ({ model, input: 'hi' }),
  },
  {
    name: 'messages',
    path: '/v1/messages',
    dialect: 'anthropic',
    streams: true,
    body: (model, stream) => ({ model, messages, max_tokens: 5, stream }),
  },
  {
    name: 'responses',
    path: '/v1/responses',
    dialect: 'responses',
    streams: true,
    body: (model, stream) => ({ model, input: 'hi', stream }),
  },
]

/** A request for the raw client: a chat unless another API is named. */
export function apiRequest({
  api = chat,
  model = 'test-model',
  stream = false,
  id,
  headers = {},
  fields = {},
}: {
  readonly api?: Api
  readonly model?: string
  readonly stream?: boolean
  /** Sent as `x-request-id`. */
  readonly id?: string
  readonly headers?: Readonly<Record<string, string>>
  /** Added to the body. */
  readonly fields?: Readonly<Record<string, unknown>>
} = {}) {
  return {
    path: api.path,
    headers: { ...(id === undefined ? {} : { 'x-request-id': id }), ...headers },
    json: { ...api.body(model, stream), ...fields },
  }
}
