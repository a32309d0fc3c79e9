/** What the workers of the benchmark answer: fixed to the byte, so that every answer can be checked. */

export const model = 'bench-model'

/** A completion of 300 bytes. */
export const completion = completionOf(300)

export const modelList = JSON.stringify({
  object: 'list',
  data: [{ id: model, object: 'model', created: 1_700_000_000, owned_by: 'vllm', max_model_len: 1_048_576 }],
})

function completionOf(bytes: number): string {
  const withText = (text: string): string =>
    JSON.stringify({
      id: 'cmpl-bench',
      object: 'text_completion',
      created: 1_700_000_000,
      model,
      choices: [{ index: 0, text, logprobs: null, finish_reason: 'length', stop_reason: null }],
      usage: { prompt_tokens: 1, total_tokens: 11, completion_tokens: 10 },
    })
  return withText('x'.repeat(bytes - withText('').length))
}

const head = `"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1700000000,"model":"${model}"`
const chunk = (delta: string, finish: string): string =>
  `data: {${head},"choices":[{"index":0,"delta":${delta},"logprobs":null,"finish_reason":${finish}}]}\n\n`

/** The first event of vLLM's chat streams: whose turn it is, and no content. */
export const roleEvent = chunk('{"role":"assistant","content":""}', 'null')
export const lastEvents = `${chunk('{"content":""}', '"stop"')}data: [DONE]\n\n`

const [beforeContent = '', afterContent = ''] = chunk('{"content":"@"}', 'null').split('@')
const numberDigits = 6
const timeDigits = 16

/** One token: its number within the stream, and when it was sent (microseconds of the machine's monotonic clock). */
export function tokenEvent(number: number, sentAt: number): string {
  const text = `${String(number).padStart(numberDigits, '0')} ${String(Math.round(sentAt)).padStart(timeDigits, '0')}`
  return beforeContent + text + afterContent
}

export const tokenEventBytes = tokenEvent(0, 0).length
export const numberAt = beforeContent.length
export const timeAt = numberAt + numberDigits + 1
export const timeEnd = timeAt + timeDigits

/** A stream that is sent at once: all bytes, times left at zero. */
export function burst(tokens: number): string {
  const events = Array.from({ length: tokens }, (_, number) => tokenEvent(number, 0))
  return roleEvent + events.join('') + lastEvents
}

export function streamBytes(tokens: number): number {
  return roleEvent.length + tokens * tokenEventBytes + lastEvents.length
}
