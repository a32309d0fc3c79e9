import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { errorOf } from '../support/middleware-app.ts'
import { type Path, post } from '../support/post-body.ts'

const user = { role: 'user', content: 'hello' }
const chat = { model: 'm', messages: [user] }

/** Bodies that some vLLM takes: each must pass. */
const accepted: readonly (readonly [Path, string, unknown])[] = [
  ['/v1/chat/completions', 'the least', chat],
  ['/v1/chat/completions', 'unknown fields', { ...chat, guided_json: {}, top_k: 'x', __proto__x: 1 }],
  [
    '/v1/chat/completions',
    'null for whatever is optional',
    { ...chat, stream: null, temperature: null, n: null },
  ],
  [
    '/v1/chat/completions',
    'parts, tool calls without content, null content, own roles',
    {
      model: '',
      messages: [
        { role: 'system', content: [{ type: 'text', text: 'x' }] },
        { role: 'assistant', tool_calls: [] },
        { role: 'assistant', content: null },
        { role: 'ipython', content: '' },
      ],
    },
  ],
  [
    '/v1/chat/completions',
    'the ends of the ranges',
    {
      ...chat,
      temperature: 2,
      top_p: 1,
      n: 1,
      max_tokens: 0,
      presence_penalty: -2,
      frequency_penalty: 2,
      top_logprobs: -1,
    },
  ],
  ['/v1/chat/completions', 'numbers as strings', { ...chat, temperature: '0.7', max_tokens: ' 16 ', n: '2' }],
  [
    '/v1/chat/completions',
    'a whole number written as a float',
    '{"model":"m","messages":[{"role":"u"}],"n":1.0}',
  ],
  [
    '/v1/chat/completions',
    'a duplicate key, the last one counts',
    '{"model":1,"model":"m","messages":[{"role":"u"}]}',
  ],
  ['/v1/chat/completions', 'a byte order mark', `\uFEFF${JSON.stringify(chat)}`],
  ['/v1/completions', 'a string', { model: 'm', prompt: 'x' }],
  ['/v1/completions', 'an empty string', { model: 'm', prompt: '' }],
  ['/v1/completions', 'strings', { model: 'm', prompt: ['a', 'b'] }],
  ['/v1/completions', 'token ids', { model: 'm', prompt: [1, 2, 3] }],
  ['/v1/completions', 'arrays of token ids', { model: 'm', prompt: [[1], [], [2, 3]] }],
  ['/v1/completions', 'embeddings instead of a prompt', { model: 'm', prompt: null, prompt_embeds: 'AAAA' }],
  [
    '/v1/completions',
    'scoring a prompt',
    { model: 'm', prompt: 'x', echo: true, max_tokens: 0, logprobs: true },
  ],
  ['/v1/embeddings', 'a string', { model: 'm', input: 'x' }],
  ['/v1/embeddings', 'arrays of token ids', { model: 'm', input: [[1, 2], [3]], dimensions: 8 }],
  ['/v1/embeddings', 'a conversation', { model: 'm', messages: [user] }],
  ['/v1/responses', 'a string', { model: 'm', input: 'x', max_output_tokens: 16 }],
  ['/v1/responses', 'items', { model: 'm', input: [user, { type: 'function_call_output', output: '' }] }],
  ['/v1/responses', 'a stored prompt', { model: 'm', prompt: { id: 'p' } }],
  ['/v1/messages', 'the least', { ...chat, max_tokens: 1 }],
  [
    '/v1/messages',
    'system blocks',
    { ...chat, max_tokens: 1, system: [{ type: 'text', text: 'x' }], top_k: -1 },
  ],
  ['/v1/messages/count_tokens', 'no max_tokens', chat],
  ['/generate', 'no model', { prompt: 'x', stream: true }],
  ['/tokenize', 'no model', { prompt: 'x' }],
  ['/v1/rerank', 'anything', { model: 'm', query: 1, documents: 2 }],
]

/** Bodies that are surely wrong: the path of the field, and a word of the message. */
const refused: readonly (readonly [Path, unknown, string, RegExp])[] = [
  ['/v1/chat/completions', { ...chat, model: ['m'] }, 'model', /received an array/],
  ['/v1/chat/completions', { model: 'm' }, 'messages', /missing/],
  ['/v1/chat/completions', { ...chat, messages: 'hi' }, 'messages', /received a string/],
  ['/v1/chat/completions', { ...chat, messages: [user, 'hi'] }, 'messages[1]', /an object/],
  [
    '/v1/chat/completions',
    { ...chat, messages: [user, user, { content: 'x' }] },
    'messages[2].role',
    /nothing/,
  ],
  [
    '/v1/chat/completions',
    { ...chat, messages: [{ role: 7, content: 'x' }] },
    'messages[0].role',
    /a number/,
  ],
  [
    '/v1/chat/completions',
    { ...chat, messages: [{ role: 'user', content: 7 }] },
    'messages[0].content',
    /a number/,
  ],
  ['/v1/chat/completions', { ...chat, stream: 'maybe' }, 'stream', /true or false, received a string/],
  ['/v1/chat/completions', { ...chat, stream: 2 }, 'stream', /true or false/],
  ['/v1/chat/completions', { ...chat, stream_options: true }, 'stream_options', /object/],
  ['/v1/chat/completions', { ...chat, temperature: 2.1 }, 'temperature', /from 0 to 2, received 2.1/],
  ['/v1/chat/completions', { ...chat, temperature: -0.1 }, 'temperature', /from 0 to 2/],
  ['/v1/chat/completions', { ...chat, temperature: 'hot' }, 'temperature', /received a string/],
  ['/v1/chat/completions', { ...chat, n: false }, 'n', /received a boolean/],
  ['/v1/chat/completions', { ...chat, top_p: 0 }, 'top_p', /above 0/],
  ['/v1/chat/completions', { ...chat, top_p: 1.01 }, 'top_p', /up to 1/],
  ['/v1/chat/completions', { ...chat, n: 0 }, 'n', /at least 1, received 0/],
  ['/v1/chat/completions', { ...chat, n: 1.5 }, 'n', /whole number/],
  ['/v1/chat/completions', { ...chat, max_tokens: -1 }, 'max_tokens', /at least 0/],
  ['/v1/chat/completions', { ...chat, max_completion_tokens: '' }, 'max_completion_tokens', /whole number/],
  ['/v1/chat/completions', { ...chat, presence_penalty: 2.5 }, 'presence_penalty', /from -2 to 2/],
  ['/v1/chat/completions', { ...chat, frequency_penalty: -3 }, 'frequency_penalty', /from -2 to 2/],
  ['/v1/chat/completions', { ...chat, seed: 1.5 }, 'seed', /whole number/],
  ['/v1/chat/completions', { ...chat, top_logprobs: -2 }, 'top_logprobs', /at least -1/],
  [
    '/v1/chat/completions',
    '{"model":"m","messages":[{"role":"u"}],"temperature":1e999}',
    'temperature',
    /from 0 to 2/,
  ],
  ['/v1/completions', { model: 'm' }, 'prompt', /unless `prompt_embeds`/],
  ['/v1/completions', { model: 'm', prompt: {} }, 'prompt', /received an object/],
  ['/v1/completions', { model: 'm', prompt: ['a', 1] }, 'prompt[1]', /a string/],
  ['/v1/completions', { model: 'm', prompt: [1, 2.5] }, 'prompt[1]', /whole number, .*received a number/],
  ['/v1/completions', { model: 'm', prompt: [[1], ['a']] }, 'prompt[1]', /token ids/],
  ['/v1/completions', { model: 'm', prompt: [null] }, 'prompt[0]', /received null/],
  ['/v1/embeddings', { model: 'm' }, 'input', /unless `messages`/],
  ['/v1/embeddings', { model: 'm', input: 5 }, 'input', /received a number/],
  ['/v1/embeddings', { model: 'm', input: 'x', dimensions: 0 }, 'dimensions', /at least 1/],
  ['/v1/responses', { model: 'm' }, 'input', /unless `prompt`/],
  ['/v1/responses', { model: 'm', input: ['x'] }, 'input[0]', /an object/],
  ['/generate', { model: 5 }, 'model', /string/],
  ['/v1/rerank', { stream: 'perhaps' }, 'stream', /true or false/],
  ['/v1/embeddings', { model: 'm', input: [user, 'x'] }, 'input[1]', /an object with a role/],
  ['/v1/embeddings', { model: 'm', input: [[user], [{}]] }, 'input[1]', /an array of messages/],
  ['/v1/embeddings', { model: 'm', messages: [[user], user] }, 'messages[1]', /an array of messages/],
]

describe('bodies that pass', () => {
  for (const [path, what, body] of accepted) {
    test(`${path}: ${what}`, async () => {
      const response = await post(path, body)
      assert.equal(response.status, 200, await response.clone().text())
    })
  }
})

describe('bodies that are refused, with the path of the field', () => {
  for (const [path, body, param, message] of refused) {
    const text = typeof body === 'string' ? body : JSON.stringify(body)
    test(`${path}: ${text}`, async () => {
      const error = await errorOf(await post(path, body), 400, 'invalid_request')
      assert.equal(error.param, param)
      assert.ok(error.message.includes(`\`${param}\``), error.message)
      assert.match(error.message, message)
    })
  }

  test('Anthropic needs a model, max_tokens, a role and a content', async () => {
    const wrong = [
      { messages: [user], max_tokens: 1 },
      { ...chat, max_tokens: 1, model: null },
      chat,
      { ...chat, max_tokens: 0 },
      { model: 'm', max_tokens: 1, messages: [{ role: 'user' }] },
    ]
    for (const body of wrong) {
      const response = await post('/v1/messages', body)
      assert.equal(response.status, 400)
      const answer = (await response.json()) as { error: { type: string; message: string } }
      assert.equal(answer.error.type, 'invalid_request_error')
      assert.match(
        answer.error.message,
        /`(?:model|max_tokens|messages\[0\]\.content)` (?:is missing|must be)/,
      )
    }
  })

  test('a body that is not an object', async () => {
    for (const [body, kind] of [
      ['[]', 'an empty array'],
      ['[1]', 'an array'],
      ['null', 'null'],
      ['"x"', 'a string'],
      ['7', 'a number'],
    ]) {
      for (const path of ['/v1/chat/completions', '/generate'] as const) {
        const error = await errorOf(await post(path, body), 400, 'invalid_request')
        assert.equal(error.message, `The request body must be a JSON object, received ${kind}.`)
        assert.equal(error.param, null)
      }
    }
  })
})
