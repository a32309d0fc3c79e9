/** Server-sent events as vLLM writes them, for each API, with what the relay must make of them. */

import type { Meaning } from '../../app/relay/grammar.ts'
import type { Dialect } from '../../http/errors.ts'

export interface KnownEvent {
  readonly what: string
  readonly dialect: Dialect
  readonly bytes: Buffer
  readonly meaning: Meaning
  /** It would be the first a client sees if nothing came before, but it is no token of its own. */
  readonly closing?: boolean
}

const head = '"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"m"'
const usage = '"usage":{"prompt_tokens":3,"total_tokens":5,"completion_tokens":2}'

export function chatChunk(delta: string, rest = '"logprobs":null,"finish_reason":null'): string {
  return `data: {${head},"choices":[{"index":0,"delta":${delta},${rest}}]}\n\n`
}

export function completionChunk(text: string, rest = '"logprobs":null,"finish_reason":null'): string {
  return (
    'data: {"id":"cmpl-1","object":"text_completion","created":1700000000,"model":"m","choices":[' +
    `{"index":0,"text":${text},${rest},"stop_reason":null}]}\n\n`
  )
}

/** An event whose type stands in a line of its own and in the data, as in the Responses and the Messages API. */
export function typed(type: string, fields = '"index":0'): string {
  return `event: ${type}\ndata: {"type":"${type}",${fields}}\n\n`
}

type Row = readonly [what: string, text: string, meaning: Meaning]

const tool = '{"id":"chatcmpl-tool-1","type":"function","index":0,"function":{"name":"get_weather"}}'
const token = '{"content":[{"token":"\\\\xf0","logprob":-0.1,"bytes":[240],"top_logprobs":[]}]}'
const stopped = '"logprobs":null,"finish_reason":"stop","stop_reason":null'

/** Of `/inference/v1/generate`, which takes token ids and gives token ids. */
const tokenIds = (ids: string) =>
  `data: {"request_id":"r","choices":[{"index":0,"logprobs":null,"finish_reason":null,"token_ids":${ids}}]}\n\n`

const openai: readonly Row[] = [
  ['token ids without text', tokenIds('[7]'), 'content'],
  [
    'the ids of tokens that make no text yet',
    chatChunk('{"content":""}', '"logprobs":null,"finish_reason":null,"token_ids":[240]'),
    'content',
  ],
  ['a role', chatChunk('{"role":"assistant","content":""}'), 'silent'],
  ['a role without text', chatChunk('{"role":"assistant"}'), 'silent'],
  ['a role with nulls', chatChunk('{"role":"assistant","content":null,"tool_calls":[]}'), 'silent'],
  [
    'the roles of two choices',
    `data: {${head},"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null},{"index":1,` +
      '"delta":{"role":"assistant","content":""},"finish_reason":null}]}\n\n',
    'silent',
  ],
  [
    'a role with the usage so far',
    `data: {${head},"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],${usage}}\n\n`,
    'silent',
  ],
  [
    'the roles of two choices, one of which has begun',
    `data: {${head},"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null},{"index":1,` +
      '"delta":{"role":"assistant","content":"a"},"finish_reason":null}]}\n\n',
    'content',
  ],
  ['a role with its first text', chatChunk('{"role":"assistant","content":"Hi"}'), 'content'],
  ['text', chatChunk('{"content":" the"}'), 'content'],
  ['white space', chatChunk('{"content":"\\n"}'), 'content'],
  ['reasoning', chatChunk('{"reasoning_content":"Hm"}'), 'content'],
  ['reasoning under its new name', chatChunk('{"reasoning":"Hm"}'), 'content'],
  ['the beginning of a tool call', chatChunk(`{"tool_calls":[${tool}]}`), 'content'],
  [
    'more of a tool call',
    chatChunk('{"tool_calls":[{"index":0,"function":{"arguments":"{\\"ci"}}]}'),
    'content',
  ],
  ['a refusal', chatChunk('{"refusal":"I cannot"}'), 'content'],
  [
    'half a character, with its log probability',
    chatChunk('{"content":""}', `"logprobs":${token},"finish_reason":null`),
    'content',
  ],
  ['a finish reason', chatChunk('{}', stopped), 'content'],
  ['a finish reason with an empty text', chatChunk('{"content":""}', stopped), 'content'],
  ['usage', `data: {${head},"choices":[],${usage}}\n\n`, 'silent'],
  ['text of a completion', completionChunk('" the"'), 'content'],
  [
    'a finish reason of a completion',
    completionChunk('""', '"logprobs":null,"finish_reason":"length"'),
    'content',
  ],
  [
    'half a character of a completion',
    completionChunk('""', '"logprobs":{"tokens":["bytes:\\\\xf0"]},"finish_reason":null'),
    'content',
  ],
  ['usage of a completion', `data: {"id":"cmpl-1","choices":[],${usage}}\n\n`, 'silent'],
  ['a chunk of /generate', 'data: {"text":["Hello"]}\n\n', 'content'],
  ['a comment', ': ping\n\n', 'silent'],
  ['an empty comment', ':\n\n', 'silent'],
  ['a name without data', 'event: ping\n\n', 'silent'],
  ['an id', 'id: 7\n\n', 'silent'],
  ['a time to reconnect', 'retry: 3000\n\n', 'silent'],
  ['a blank line', '\n', 'silent'],
  ['a comment before text', `: 12\n${chatChunk('{"content":"a"}')}`, 'content'],
  ['text with CR LF', chatChunk('{"content":"a"}').replaceAll('\n', '\r\n'), 'content'],
  ['the end', 'data: [DONE]\n\n', 'end'],
  ['the end without a space', 'data:[DONE]\n\n', 'end'],
  ['the end with CR LF', 'data: [DONE]\r\n\r\n', 'end'],
  // Python's json.dumps puts spaces after colons and commas.
  [
    'an error',
    'data: {"error": {"message": "EngineCore", "type": "InternalServerError", "param": null, "code": 500}}\n\n',
    'error',
  ],
  [
    'an error without spaces',
    'data: {"error":{"message":"m","type":"t","param":null,"code":400}}\n\n',
    'error',
  ],
  [
    'an error of older versions',
    'data: {"error": {"object": "error", "message": "m", "type": "BadRequestError", "param": null, "code": 400}}\n\n',
    'error',
  ],
  ['an error in a mere text', 'data: {"error": "scaling"}\n\n', 'error'],
]

const responses: readonly Row[] = [
  ['created', typed('response.created', '"response":{"status":"in_progress","error":null}'), 'silent'],
  ['in progress', typed('response.in_progress', '"response":{"status":"in_progress"}'), 'silent'],
  ['an item', typed('response.output_item.added', '"item":{"type":"message"}'), 'silent'],
  ['a part', typed('response.content_part.added', '"part":{"type":"output_text","text":""}'), 'silent'],
  ['a part of reasoning', typed('response.reasoning_part.added', '"part":{"text":""}'), 'silent'],
  ['reasoning', typed('response.reasoning_text.delta', '"delta":"Hm"'), 'content'],
  ['text', typed('response.output_text.delta', '"delta":"Hi"'), 'content'],
  ['arguments', typed('response.function_call_arguments.delta', '"delta":"{"'), 'content'],
  ['a search', typed('response.web_search_call.searching', '"item_id":"x"'), 'content'],
  ['completed', typed('response.completed', '"response":{"status":"completed"}'), 'end'],
  ['incomplete', typed('response.incomplete', '"response":{"status":"incomplete"}'), 'end'],
  ['failed', typed('response.failed', '"response":{"error":{"code":"server_error","message":"m"}}'), 'error'],
  ['an error', typed('error', '"code":"server_error","message":"m","param":null'), 'error'],
  ['an error as in the other APIs', 'data: {"error": {"message": "m", "code": 500}}\n\n', 'error'],
  ['an error with a name', 'event: error\ndata: {"error": {"message": "m", "code": 500}}\n\n', 'error'],
  ['the end of the other APIs', 'data: [DONE]\n\n', 'end'],
  ['a comment', ': ping\n\n', 'silent'],
  ['text without a name', 'data: {"type":"response.output_text.delta","delta":"Hi"}\n\n', 'content'],
  ['completed without a name', 'data: {"type": "response.completed","response":{}}\n\n', 'end'],
]

const anthropic: readonly Row[] = [
  ['the start', typed('message_start', '"message":{"id":"1","type":"message","role":"assistant"}'), 'silent'],
  ['a ping', 'event: ping\ndata: {"type": "ping"}\n\n', 'silent'],
  ['a block', typed('content_block_start', '"index":0,"content_block":{"type":"text","text":""}'), 'silent'],
  ['text', typed('content_block_delta', '"index":0,"delta":{"type":"text_delta","text":"Hi"}'), 'content'],
  ['thoughts', typed('content_block_delta', '"delta":{"type":"thinking_delta","thinking":"Hm"}'), 'content'],
  [
    'arguments',
    typed('content_block_delta', '"delta":{"type":"input_json_delta","partial_json":"{"}'),
    'content',
  ],
  ['the end', typed('message_stop'), 'end'],
  ['the end of the other APIs', 'data: [DONE]\n\n', 'end'],
  ['an error', typed('error', '"error":{"type":"internal_error","message":"m"}'), 'error'],
  ['a comment', ':\n\n', 'silent'],
]

const closings: readonly (readonly [Dialect, string])[] = [
  ['responses', typed('response.output_text.done', '"text":"Hi"')],
  ['responses', typed('response.reasoning_text.done', '"text":"Hm"')],
  ['responses', typed('response.function_call_arguments.done', '"arguments":"{}"')],
  ['responses', typed('response.content_part.done', '"part":{"type":"output_text","text":"Hi"}')],
  ['responses', typed('response.output_item.done', '"item":{"type":"message"}')],
  ['anthropic', typed('content_block_delta', '"delta":{"type":"signature_delta","signature":"ab"}')],
  ['anthropic', typed('content_block_stop')],
  ['anthropic', typed('message_delta', '"delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":2}')],
]

const known = (dialect: Dialect, rows: readonly Row[]): KnownEvent[] =>
  rows.map(([what, text, meaning]) => ({
    what: `${dialect}: ${what}`,
    dialect,
    bytes: Buffer.from(text),
    meaning,
  }))

export const knownEvents: readonly KnownEvent[] = [
  ...known('openai', openai),
  ...known('responses', responses),
  ...known('anthropic', anthropic),
  ...closings.map(([dialect, text]) => ({
    what: `${dialect}: ${text.split('\n')[0]}`,
    dialect,
    bytes: Buffer.from(text),
    meaning: 'content' as const,
    closing: true,
  })),
]
