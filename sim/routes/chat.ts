/** `POST /v1/chat/completions`. */
import { type Answer, fingerprint, transferFields, usageJson } from '../answer.ts'
import { answerId, type Call, modelOf, now, type SimContext } from '../call.ts'
import { type ChatEnvelope, chatStream } from '../chat-stream.ts'
import { choicesOf, eventStream, lengthOf, reportedCache, usageWish } from '../generation.ts'
import { chatPrompt } from '../prompt.ts'
import { flag, parseBody, required } from '../request-body.ts'
import { textOf, textSeed, tokenAt } from '../text.ts'
import { toolCallOf } from '../tool-call.ts'

export function chat(sim: SimContext, call: Call): Answer {
  const body = parseBody(call.body)
  const model = modelOf(sim, body)
  const prompt = chatPrompt(required(body, 'messages'))
  const stream = flag(body, 'stream')
  const choices = choicesOf(body)
  const tool = toolCallOf(body, sim.newId())
  const { tokens, reason } = lengthOf(sim, body, ['max_completion_tokens', 'max_tokens'], prompt)
  const seed = textSeed(prompt.text, sim.settings.seed)
  const envelope: ChatEnvelope = {
    id: answerId(sim, call, 'chatcmpl'),
    created: now(),
    model: JSON.stringify(model),
    prompt,
    choices,
    steps: tool ? tool.pieces.length : tokens,
    reason: tool ? 'tool_calls' : reason,
    tool,
    usage: usageWish(body),
    cached: (count) => reportedCache(sim, count),
    token: (choice, step) => tokenAt(seed + choice, step),
  }
  return {
    contentType: stream ? eventStream : 'application/json',
    model,
    prompt,
    steps: envelope.steps,
    tokensPerStep: choices,
    ...(stream && { stream: chatStream(envelope) }),
    body: (cachedTokens) =>
      plainBody(envelope, cachedTokens, (choice) => textOf(seed + choice, envelope.steps)),
  }
}

const unusedFields = '"refusal":null,"annotations":null,"audio":null,"function_call":null'

function plainBody(envelope: ChatEnvelope, cachedTokens: number, text: (choice: number) => string): string {
  const { id, created, model, prompt, choices, steps, tool, reason } = envelope
  let list = ''
  for (let index = 0; index < choices; index++) {
    const content = tool
      ? `"content":null,${unusedFields},"tool_calls":[${tool.json}],"reasoning":null`
      : `"content":"${text(index)}",${unusedFields},"reasoning":null`
    list +=
      `${index === 0 ? '' : ','}{"index":${index},"message":{"role":"assistant",${content}},"logprobs":null,` +
      `"finish_reason":"${reason}","stop_reason":null,"token_ids":null,"routed_experts":null}`
  }
  const usage = usageJson(prompt.tokens, steps * choices, envelope.cached(cachedTokens))
  return (
    `{"id":${id},"object":"chat.completion","created":${created},"model":${model},"choices":[${list}],` +
    `"service_tier":null,${fingerprint},"usage":${usage},"prompt_logprobs":null,"prompt_token_ids":null,` +
    `"prompt_text":null,${transferFields}}`
  )
}
