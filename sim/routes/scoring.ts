/** The pooling APIs: `/rerank`, `/score`, `/classify`, `/pooling`. Numbers depend on the texts only. */
import { type Answer, pooled } from '../answer.ts'
import { badRequest } from '../api-error.ts'
import { type Call, modelOf, now, type SimContext } from '../call.ts'
import { chatPrompt, contentText, joined, type Prompt, promptOf, promptsOf } from '../prompt.ts'
import { isObject, type Json, parseBody, required, wholeNumber } from '../request-body.ts'
import { seededRandom, textSeed } from '../text.ts'
import { usageOf, vectorOf } from './embeddings.ts'

const labels = ['LABEL_0', 'LABEL_1']

export function rerank(sim: SimContext, call: Call): Answer {
  const body = parseBody(call.body)
  const model = modelOf(sim, body)
  const query = textOfItem(required(body, 'query'))
  const documents = textsOf(body, 'documents')
  const topN = wholeNumber(body, 'top_n', 0) || documents.length
  const prompt = joined(documents.map((text) => promptOf(query + text)))
  return pooled(model, prompt, () => ({
    id: `rerank-${call.requestId ?? sim.newId()}`,
    model,
    usage: { prompt_tokens: prompt.tokens, total_tokens: prompt.tokens },
    results: documents
      .map((text, index) => ({
        index,
        document: { text, multi_modal: null },
        relevance_score: similarity(query, text),
      }))
      .sort((a, b) => b.relevance_score - a.relevance_score)
      .slice(0, topN),
  }))
}

export function score(sim: SimContext, call: Call): Answer {
  const body = parseBody(call.body)
  const model = modelOf(sim, body)
  const [left, right] = body.queries === undefined ? ['text_1', 'text_2'] : ['queries', 'documents']
  const first = textsOf(body, left)
  const second = textsOf(body, right as string)
  if (first.length !== 1 && first.length !== second.length) {
    throw badRequest('Input lengths must be either 1:1, 1:N or N:N', right)
  }
  const pairs = second.map((text, index) => [first.length === 1 ? first[0] : first[index], text] as const)
  const prompt = joined(pairs.map(([a, b]) => promptOf(`${a}${b}`)))
  return pooled(model, prompt, () => ({
    id: `score-${call.requestId ?? sim.newId()}`,
    object: 'list',
    created: now(),
    model,
    data: pairs.map(([a, b], index) => ({ index, object: 'score', score: similarity(`${a}`, b) })),
    usage: usageOf(prompt.tokens),
  }))
}

export function classify(sim: SimContext, call: Call): Answer {
  const { body, model, inputs, prompt } = pooledInput(sim, call)
  return pooled(model, prompt, () => ({
    id: `classify-${call.requestId ?? sim.newId()}`,
    object: 'list',
    created: now(),
    model: body.model ?? model,
    data: inputs.map(({ text }, index) => {
      const share = similarity('', text)
      const probs = [share, 1 - share]
      return { index, label: labels[share >= 0.5 ? 0 : 1], probs, num_classes: labels.length }
    }),
    usage: usageOf(prompt.tokens),
  }))
}

export function pooling(sim: SimContext, call: Call): Answer {
  const { model, inputs, prompt } = pooledInput(sim, call)
  return pooled(model, prompt, () => ({
    id: `pool-${call.requestId ?? sim.newId()}`,
    object: 'list',
    created: now(),
    model,
    data: inputs.map(({ text }, index) => ({ index, object: 'pooling', data: vectorOf(text, 8) })),
    usage: usageOf(prompt.tokens),
  }))
}

function pooledInput(sim: SimContext, call: Call) {
  const body = parseBody(call.body)
  const model = modelOf(sim, body)
  const inputs: Prompt[] =
    body.messages === undefined ? promptsOf(required(body, 'input'), 'input') : [chatPrompt(body.messages)]
  return { body, model, inputs, prompt: joined(inputs) }
}

/** One text or a list of texts; an item may also be an object with a text or with parts. */
function textsOf(body: Json, name: string): string[] {
  const value = required(body, name)
  const items = Array.isArray(value) ? value : [value]
  if (items.length === 0) throw badRequest(`${name} must not be empty`, name)
  return items.map(textOfItem)
}

function textOfItem(item: unknown): string {
  if (typeof item === 'string') return item
  if (!isObject(item)) throw badRequest('Input should be a valid string')
  return typeof item.text === 'string' ? item.text : contentText(item.content)
}

function similarity(a: string, b: string): number {
  return seededRandom(textSeed(`${a}\n${b}`, 1))()
}
