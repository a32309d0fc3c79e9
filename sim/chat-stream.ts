/** The events of a streamed chat completion, framed as vLLM frames them. */
import { finalUsageJson, fingerprint, runningUsageJson, type StreamFormat } from './answer.ts'
import { openAiFailure, type UsageWish } from './generation.ts'
import type { Prompt } from './prompt.ts'
import type { ToolCall } from './tool-call.ts'

/** What is the same in every event of an answer. `id` and `model` are JSON text, quotes included. */
export interface ChatEnvelope {
  id: string
  created: number
  model: string
  prompt: Prompt
  choices: number
  steps: number
  reason: 'length' | 'stop' | 'tool_calls'
  tool: ToolCall | undefined
  usage: UsageWish
  cached(count: number): number | undefined
  token(choice: number, step: number): string
}

export function chatStream(envelope: ChatEnvelope): StreamFormat {
  const { id, created, model, prompt, choices, steps, reason, tool, usage } = envelope
  const head = `data: {"id":${id},"object":"chat.completion.chunk","created":${created},"model":${model},"choices":[`
  const total = (cached: number) => finalUsageJson(prompt.tokens, steps * choices, envelope.cached(cached))

  /** One event for each choice. `finish` is the reason with all that comes behind it in the choice, `rest` behind all. */
  function each(generated: number, delta: (choice: number) => string, finish: string, rest = ''): string {
    const so = usage.always ? `,"usage":${runningUsageJson(prompt.tokens, generated)}` : ''
    let text = ''
    for (let choice = 0; choice < choices; choice++)
      text += `${head}{"index":${choice},"delta":${delta(choice)},"logprobs":null,"finish_reason":${finish}}]${so}${rest}}\n\n`
    return text
  }

  function delta(choice: number, step: number): string {
    if (!tool) return `{"content":"${envelope.token(choice, step)}"}`
    return `{"tool_calls":[${tool.pieces[step]}]}`
  }

  return {
    opening: () =>
      each(
        0,
        () => '{"role":"assistant","content":""}',
        'null',
        ',"prompt_token_ids":null,"prompt_text":null',
      ),
    event(step, last) {
      const finish =
        last && reason === 'length' ? '"length","stop_reason":null,"token_ids":null' : 'null,"token_ids":null'
      return each((step + 1) * choices, (choice) => delta(choice, step), finish)
    },
    closing(cached) {
      const stop =
        reason === 'length'
          ? ''
          : each(steps * choices, () => '{"content":""}', `"${reason}","stop_reason":null,"token_ids":null`)
      const end = usage.atEnd ? `${head}],"usage":${total(cached)},${fingerprint}}\n\n` : ''
      return `${stop}${end}data: [DONE]\n\n`
    },
    failure: openAiFailure,
  }
}
