/** The events of a streamed chat completion, framed as vLLM frames them. */
import { type StreamFormat, usageJson } from './answer.ts'
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
  const total = (cached: number) => usageJson(prompt.tokens, steps * choices, envelope.cached(cached))

  function chunk(choice: number, delta: string, finish: string, generated: number): string {
    const tail = usage.always ? `],"usage":${usageJson(prompt.tokens, generated, undefined)}}\n\n` : ']}\n\n'
    return `${head}{"index":${choice},"delta":${delta},"logprobs":null,"finish_reason":${finish}}${tail}`
  }

  function each(generated: number, delta: (choice: number) => string, finish = 'null'): string {
    let text = ''
    for (let choice = 0; choice < choices; choice++) text += chunk(choice, delta(choice), finish, generated)
    return text
  }

  function delta(choice: number, step: number): string {
    if (!tool) return `{"content":"${envelope.token(choice, step)}"}`
    return `{"tool_calls":[${tool.pieces[step]}]}`
  }

  return {
    opening: () => each(0, () => '{"role":"assistant","content":""}'),
    event(step, last) {
      const finish = last && reason === 'length' ? '"length","stop_reason":null' : 'null'
      return each((step + 1) * choices, (choice) => delta(choice, step), finish)
    },
    closing(cached) {
      const stop =
        reason === 'length'
          ? ''
          : each(steps * choices, () => '{"content":""}', `"${reason}","stop_reason":null`)
      const end = usage.atEnd ? `${head}],"usage":${total(cached)}}\n\n` : ''
      return `${stop}${end}data: [DONE]\n\n`
    },
    failure: openAiFailure,
  }
}
