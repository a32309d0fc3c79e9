/** `POST /v1/completions`. */
import {
  type Answer,
  finalUsageJson,
  fingerprint,
  runningUsageJson,
  type StreamFormat,
  transferFields,
  usageJson,
} from '../answer.ts'
import { answerId, type Call, modelOf, now, type SimContext } from '../call.ts'
import { choicesOf, eventStream, lengthOf, openAiFailure, reportedCache, usageWish } from '../generation.ts'
import { joined, promptsOf } from '../prompt.ts'
import { flag, type Json, parseBody, required } from '../request-body.ts'
import { textOf, textSeed, tokenAt } from '../text.ts'

interface Completion {
  /** Everything before the choices, as JSON text. */
  head: string
  promptTokens: number
  steps: number
  reason: 'length' | 'stop'
  /** The seed of each choice: all choices of the first prompt, then of the second. */
  seeds: readonly number[]
  cached(count: number): number | undefined
}

export function completions(sim: SimContext, call: Call): Answer {
  const body = parseBody(call.body)
  const model = modelOf(sim, body)
  const prompts = promptsOf(required(body, 'prompt'), 'prompt')
  const prompt = joined(prompts)
  const stream = flag(body, 'stream')
  const n = choicesOf(body)
  const { tokens, reason } = lengthOf(sim, body, ['max_tokens'], prompt)
  const completion: Completion = {
    head:
      `{"id":${answerId(sim, call, 'cmpl')},"object":"text_completion","created":${now()},` +
      `"model":${JSON.stringify(model)},"choices":[`,
    promptTokens: prompt.tokens,
    steps: tokens,
    reason,
    seeds: prompts.flatMap(({ text }) => {
      const seed = textSeed(text, sim.settings.seed)
      return Array.from({ length: n }, (_, choice) => seed + choice)
    }),
    cached: (count) => reportedCache(sim, count),
  }
  return {
    contentType: stream ? eventStream : 'application/json',
    model,
    prompt,
    steps: tokens,
    tokensPerStep: completion.seeds.length,
    ...(stream && { stream: completionStream(completion, body) }),
    body: (cachedTokens) => plainBody(completion, cachedTokens),
  }
}

function plainBody(
  { head, promptTokens, steps, reason, seeds, cached }: Completion,
  cachedTokens: number,
): string {
  let list = ''
  for (const [index, seed] of seeds.entries()) {
    list +=
      `${index === 0 ? '' : ','}{"index":${index},"text":"${textOf(seed, steps)}","logprobs":null,` +
      `"finish_reason":"${reason}","stop_reason":null,"token_ids":null,"prompt_logprobs":null,` +
      `"prompt_token_ids":null,"routed_experts":null}`
  }
  const usage = usageJson(promptTokens, steps * seeds.length, cached(cachedTokens))
  return `${head}${list}],"service_tier":null,${fingerprint},"usage":${usage},${transferFields}}`
}

function completionStream(completion: Completion, body: Json): StreamFormat {
  const { head, promptTokens, steps, reason, seeds, cached } = completion
  const usage = usageWish(body)

  function chunks(text: (seed: number) => string, finish: string, generated: number): string {
    const tail = usage.always ? `],"usage":${runningUsageJson(promptTokens, generated)}}\n\n` : ']}\n\n'
    let events = ''
    for (const [index, seed] of seeds.entries()) {
      events +=
        `data: ${head}{"index":${index},"text":"${text(seed)}","logprobs":null,"finish_reason":${finish},` +
        `"stop_reason":null,"prompt_token_ids":null,"token_ids":null}${tail}`
    }
    return events
  }

  return {
    opening: () => '',
    event(step, last) {
      const finish = last && reason === 'length' ? '"length"' : 'null'
      return chunks((seed) => tokenAt(seed, step), finish, (step + 1) * seeds.length)
    },
    closing(cachedTokens) {
      const all = steps * seeds.length
      const stop = reason === 'stop' ? chunks(() => '', '"stop"', all) : ''
      const end = usage.atEnd
        ? `data: ${head}],"usage":${finalUsageJson(promptTokens, all, cached(cachedTokens))},${fingerprint}}\n\n`
        : ''
      return `${stop}${end}data: [DONE]\n\n`
    },
    failure: openAiFailure,
  }
}
