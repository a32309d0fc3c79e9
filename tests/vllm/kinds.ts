/** Kinds of requests to a fleet of two models and an embedding server. */

export interface Kind {
  readonly name: string
  readonly method: 'GET' | 'POST'
  readonly path: string
  readonly json?: Readonly<Record<string, unknown>>
  /** Bytes that are no JSON, instead of it. */
  readonly body?: string
  /** The model whose server must answer; undefined where any may. */
  readonly model?: string
}

type Fields = Readonly<Record<string, unknown>>

const hi = [{ role: 'user', content: 'Count from one to five, please.' }]
const parts = [{ role: 'user', content: [{ type: 'text', text: 'Count.' }] }]
const talk = [{ role: 'system', content: 'Be brief.' }, ...hi, { role: 'assistant', content: 'One.' }, ...hi]
const few = { max_tokens: 6, temperature: 0 }

const sampling: Readonly<Record<string, Fields>> = {
  plain: {},
  'top_p and seed': { top_p: 0.9, seed: 3, temperature: 0.7 },
  penalties: { presence_penalty: 0.5, frequency_penalty: 0.5, repetition_penalty: 1.1 },
  'top_k and min_p': { top_k: 5, min_p: 0.1 },
  stop: { stop: ['e'] },
  'two choices': { n: 2, temperature: 0.8, seed: 2 },
  'numbers as words': { temperature: '0', max_tokens: '4' },
  'ignored end': { ignore_eos: true, min_tokens: 6 },
  'an unknown field': { nobody_knows: { this: [1] } },
  'token ids': { return_token_ids: true },
}

const streaming: Readonly<Record<string, Fields>> = {
  '': {},
  ', streamed': { stream: true },
  ', streamed with usage': { stream: true, stream_options: { include_usage: true } },
  ', streamed by a word': { stream: 'True' },
}

function product(
  path: string,
  model: string,
  base: Fields,
  variants: Readonly<Record<string, Fields>>,
): Kind[] {
  return Object.entries(variants).flatMap(([what, fields]) =>
    Object.entries(streaming).map(([how, flags]) => ({
      name: `${path} of ${model}, ${what}${how}`,
      method: 'POST' as const,
      path,
      json: { model, ...base, ...few, ...fields, ...flags },
      model,
    })),
  )
}

function one(name: string, path: string, json?: Fields): Kind {
  const model = typeof json?.model === 'string' ? json.model : undefined
  return {
    name,
    method: json === undefined ? 'GET' : 'POST',
    path,
    ...(json && { json }),
    ...(model && { model }),
  }
}

const ofModel = (model: string): Kind[] => [
  ...product('/v1/chat/completions', model, { messages: hi }, sampling),
  ...product('/v1/chat/completions', model, { messages: talk }, { 'a longer talk': {} }),
  ...product('/v1/chat/completions', model, { messages: parts }, { parts: {}, logprobs: { logprobs: true } }),
  ...product('/v1/completions', model, { prompt: 'def main(' }, sampling),
  ...product(
    '/v1/completions',
    model,
    { prompt: [70, 71, 72] },
    { 'of token ids': {}, logprobs: { logprobs: 1 } },
  ),
  ...product('/v1/messages', model, { messages: hi }, { plain: {}, system: { system: 'Be brief.' } }),
  one(`responses of ${model}`, '/v1/responses', { model, input: 'Hello', max_output_tokens: 4 }),
  one(`responses of ${model}, streamed`, '/v1/responses', {
    model,
    input: hi,
    max_output_tokens: 4,
    stream: true,
  }),
  one(`count_tokens of ${model}`, '/v1/messages/count_tokens', { model, messages: hi }),
  one(`tokenize by ${model}`, '/tokenize', { model, prompt: 'def main():' }),
  one(`tokenize a talk by ${model}`, '/tokenize', { model, messages: talk }),
  one(`detokenize by ${model}`, '/detokenize', { model, tokens: [70, 71] }),
  one(`render by ${model}`, '/v1/chat/completions/render', { model, messages: hi }),
  one(`a slash at the end, ${model}`, '/v1/completions/', { model, prompt: 'x', ...few }),
  one(`SageMaker's route, ${model}`, '/invocations', { model, messages: hi, ...few }),
]

const refused = (model: string): Kind[] => [
  one('too many tokens', '/v1/completions', { model, prompt: 'x', max_tokens: 100_000 }),
  one('a bad regex', '/v1/chat/completions', {
    model,
    messages: hi,
    structured_outputs: { regex: '(' },
    ...few,
  }),
  one('embeddings of a chat model', '/v1/embeddings', { model, input: 'x' }),
  one('no route, posted', '/v1/nothing', { model }),
  { name: 'no route', method: 'GET', path: '/v1/nothing' },
  { name: 'the wrong method', method: 'GET', path: '/v1/chat/completions' },
  { name: 'the version', method: 'GET', path: '/version' },
  { name: 'the load', method: 'GET', path: '/load' },
  { name: 'ping', method: 'GET', path: '/ping' },
]

const embedding = (model: string): Kind[] => [
  one('an embedding', '/v1/embeddings', { model, input: 'Hello' }),
  one('embeddings', '/v1/embeddings', { model, input: ['Hello', 'you'] }),
  one('an embedding as base64', '/v1/embeddings', { model, input: 'Hello', encoding_format: 'base64' }),
  one('an embedding of token ids', '/v1/embeddings', { model, input: [70, 71] }),
  one('an embedding of a talk', '/v1/embeddings', { model, messages: talk }),
  one('embeddings of talks', '/v1/embeddings', { model, messages: [hi, talk] }),
  one('embeddings of talks as input', '/v1/embeddings', { model, input: [hi, talk] }),
  one("Cohere's embeddings", '/v2/embed', { model, texts: ['Hello'], embedding_types: ['float'] }),
  one('pooling', '/pooling', { model, input: 'Hello', task: 'embed' }),
  one('scores', '/v1/score', { model, text_1: 'a', text_2: ['b', 'c'] }),
  one('a ranking', '/rerank', { model, query: 'a', documents: ['b', 'c'] }),
  one("a ranking by Jina's route", '/v1/rerank', { model, query: 'a', documents: ['b', 'c'] }),
]

/** @param chat two models that generate, @param embed one that embeds */
export function kindsFor(chat: readonly string[], embed: string): readonly Kind[] {
  return [...chat.flatMap(ofModel), ...refused(chat[0] ?? ''), ...embedding(embed)]
}
