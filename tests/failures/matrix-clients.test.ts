/** What the official clients make of each fault: an answer, or an API error; never half an answer that looks whole. */

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import Anthropic, { APIError as AnthropicError } from '@anthropic-ai/sdk'
import OpenAI, { APIError as OpenAIError } from 'openai'
import { tokenText } from '../support/answers.ts'
import { within } from '../support/deadline.ts'
import { assertBooks } from '../support/failure-books.ts'
import { type FaultFleet, startFaultFleet, tries } from '../support/fault-fleet.ts'
import { allFaults, type Fault } from '../support/faults.ts'

const hi = [{ role: 'user' as const, content: 'hi' }]
const wholeText = [0, 1, 2, 3, 4].map(tokenText).join('')

interface Ask {
  readonly openai: OpenAI
  readonly anthropic: Anthropic
  readonly model: string
  readonly headers: Record<string, string>
  /** Told each piece of text that the client hands out. */
  readonly onText: (text: string) => void
}

/** The ways in which people use the clients; each gives the whole text, or throws. */
const clients: Readonly<Record<string, (ask: Ask) => Promise<unknown>>> = {
  async 'chat stream'({ openai, model, headers, onText }) {
    const stream = await openai.chat.completions.create({ model, messages: hi, stream: true }, { headers })
    for await (const { choices } of stream) onText(choices[0]?.delta.content ?? '')
  },
  async 'completions stream'({ openai, model, headers, onText }) {
    const stream = await openai.completions.create({ model, prompt: 'hi', stream: true }, { headers })
    for await (const { choices } of stream) onText(choices[0]?.text ?? '')
  },
  async 'responses stream'({ openai, model, headers, onText }) {
    const stream = await openai.responses.create({ model, input: 'hi', stream: true }, { headers })
    for await (const event of stream) if (event.type === 'response.output_text.delta') onText(event.delta)
  },
  async 'responses stream helper'({ openai, model, headers, onText }) {
    const stream = openai.responses.stream({ model, input: 'hi' }, { headers })
    stream.on('response.output_text.delta', ({ delta }) => onText(delta))
    await stream.finalResponse()
  },
  async 'messages stream'({ anthropic, model, headers, onText }) {
    const body = { model, messages: hi, max_tokens: 5, stream: true } as const
    const stream = await anthropic.messages.create(body, { headers })
    for await (const event of stream) {
      if (event.type === 'content_block_delta' && event.delta.type === 'text_delta') onText(event.delta.text)
    }
  },
  async 'messages stream helper'({ anthropic, model, headers, onText }) {
    const stream = anthropic.messages.stream({ model, messages: hi, max_tokens: 5 }, { headers })
    stream.on('text', onText)
    await stream.finalMessage()
  },
  async 'chat plain'({ openai, model, headers, onText }) {
    const { choices } = await openai.chat.completions.create({ model, messages: hi }, { headers })
    onText(choices[0]?.message.content ?? '')
  },
  async 'completions plain'({ openai, model, headers, onText }) {
    const { choices } = await openai.completions.create({ model, prompt: 'hi' }, { headers })
    onText(choices[0]?.text ?? '')
  },
  async 'responses plain'({ openai, model, headers, onText }) {
    onText((await openai.responses.create({ model, input: 'hi' }, { headers })).output_text)
  },
  async 'messages plain'({ anthropic, model, headers, onText }) {
    const { content } = await anthropic.messages.create({ model, messages: hi, max_tokens: 5 }, { headers })
    onText(content[0]?.type === 'text' ? content[0].text : '')
  },
  async 'embeddings plain'({ openai, model, headers, onText }) {
    const { data } = await openai.embeddings.create(
      { model, input: 'hi', encoding_format: 'float' },
      { headers },
    )
    onText(data[0]?.embedding.length === 4 ? wholeText : '')
  },
}

const names = Object.keys(clients)
const isStream = (name: string): boolean => name.includes('stream')
/** A plain request to a worker that never answers has only its own deadline, which the raw client tests. */
const strikes = (fault: Fault, name: string): boolean => isStream(name) || !fault.hangs

describe('every fault, through the official clients', () => {
  const cleanups: (() => unknown)[] = []
  const ends: Record<string, number> = {}
  const streams: Record<string, number> = {}
  let fleet: FaultFleet

  before(async () => {
    const t = { after: (work: () => unknown) => void cleanups.push(work) }
    fleet = await startFaultFleet({ faults: allFaults, keys: names, t })
  })
  after(() => Promise.all(cleanups.map((work) => work())))

  for (const fault of allFaults) {
    test(`${fault.name}`, async () => {
      const cases = names.filter((name) => strikes(fault, name))
      const results = await Promise.allSettled(cases.map((name) => strike(fault, name)))
      const failed = results.flatMap((result, index) =>
        result.status === 'rejected' ? [`${cases[index]}: ${result.reason.message}`] : [],
      )
      assert.deepEqual(failed, [])
    })
  }

  test('access log, counters and gauges say the same', () =>
    assertBooks(fleet.router, { ends, streams, workers: fleet.size }))

  async function strike(fault: Fault, name: string): Promise<void> {
    const faulty = fleet.faulty(fault, name)
    if (fault.refuses) await faulty.crash()
    for await (const count of tries()) {
      const id = `${fault.name}-${name}-${count}`.replaceAll(' ', '-')
      const { error, text } = await ask(fault, name, id)
      const struck = faulty.requests.some((request) => request.header('x-request-id') === id)
      judge(fault, name, struck, error, text)
      // Of a worker that refuses nobody can see whether it was asked: twice is enough for both to have had their turn.
      if (struck || (fault.refuses && count > 0)) return
    }
    assert.fail('the request never met the faulty worker')
  }

  async function ask(fault: Fault, name: string, id: string) {
    const { api } = fleet.router
    let text = ''
    const run = clients[name]?.({
      openai: new OpenAI({ baseURL: `${api}/v1`, apiKey: 'none', maxRetries: 0 }),
      anthropic: new Anthropic({ baseURL: api, apiKey: 'none', maxRetries: 0 }),
      model: fleet.modelOf(fault, name),
      headers: { 'x-request-id': id },
      onText: (piece) => {
        text += piece
        if (text !== '') fleet.contentSeen(id)
      },
    })
    const outcome = within(5000, run ?? Promise.reject(new Error(name)), 'an end')
    const error = await outcome.then(
      () => undefined,
      (reason: unknown) => reason,
    )
    return { error, text }
  }

  function judge(fault: Fault, name: string, struck: boolean, error: unknown, text: string): void {
    const phase = isStream(name) ? fault.stream : fault.plain
    const ownAnswer = struck && (fault.answers === 400 || fault.answers === 422)
    const broken = struck && phase === 'after-commit'
    const end = broken ? endOfStream(fault) : 'completed'
    ends[end] = (ends[end] ?? 0) + 1
    if (isStream(name) && !ownAnswer) streams[end] = (streams[end] ?? 0) + 1
    if (broken && fault.cuts) {
      // The connection breaks within an event: each client and runtime has an error of its own for that.
      assert.ok(error !== undefined, 'an error')
      assert.ok(wholeText.startsWith(text), `text ${text.slice(0, 100)}`)
    } else if (ownAnswer || broken) {
      assert.ok(error instanceof OpenAIError || error instanceof AnthropicError, `an API error, not ${error}`)
      assert.equal(error.status, ownAnswer ? fault.answers : undefined)
      assert.match(error.message, ownAnswer ? /scripted/ : /worker|EngineCore/)
      assert.ok(broken ? wholeText.startsWith(text) && text !== '' : text === '', `text ${text}`)
    } else {
      assert.equal(error, undefined)
      assert.equal(text, wholeText)
    }
  }
})

function endOfStream({ name, hangs }: Fault): string {
  if (hangs) return 'stream_idle_timeout'
  return name === 'errorEventMidStream' ? 'worker_error' : 'worker_lost'
}
