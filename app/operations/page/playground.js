import { ask, refusalOf } from './admin.js'
import { byId, element, setClass, setHidden, setText } from './dom.js'
import { eventsOf } from './events.js'
import { wayOf } from './requests.js'
import { duration } from './words.js'

/** Characters of an answer that are shown. */
const mostCharacters = 100_000

/** A chat through the router, as any client sends it, and the way that it took. */
export class PlaygroundView {
  #running
  /** Id of the request whose way is shown. */
  #shown
  #wayKnown
  #state
  #models = ''

  constructor() {
    byId('playground').addEventListener('submit', (event) => {
      event.preventDefault()
      void this.#send()
    })
    byId('playground-stop').addEventListener('click', () => this.#running?.abort())
  }

  show(state) {
    this.#state = state
    this.#offer(new Set([...state.workers.values()].flatMap(({ models }) => models ?? [])))
    this.#showWay()
  }

  #offer(models) {
    const names = [...models].sort()
    const words = JSON.stringify(names)
    if (words === this.#models) return
    this.#models = words
    const select = byId('playground-model')
    const chosen = select.value
    select.replaceChildren(...names.map((name) => element('option', name)))
    if (models.has(chosen)) select.value = chosen
  }

  async #send() {
    if (this.#running !== undefined) return
    this.#running = new AbortController()
    this.#shown = undefined
    this.#wayKnown = undefined
    setHidden(byId('playground-way'), true)
    byId('playground-send').disabled = true
    byId('playground-stop').disabled = false
    const answer = byId('playground-answer')
    setText(answer, '')
    setHidden(answer, false)
    this.#say('sent', '')
    try {
      await this.#stream(answer, this.#running.signal)
    } catch (error) {
      if (error.name === 'AbortError') this.#say('stopped', 'fair')
      else this.#say('the connection broke', 'bad')
    }
    this.#running = undefined
    byId('playground-send').disabled = false
    byId('playground-stop').disabled = true
  }

  async #stream(answer, signal) {
    const started = performance.now()
    const since = () => duration(performance.now() - started)
    const response = await ask('playground', { ...requestOf(), signal, refusalIsAnswer: isOfApi })
    this.#shown = response.headers.get('x-request-id') ?? undefined
    if (!response.ok) return this.#say(`${response.status}: ${await refusalOf(response)}`, 'bad')
    let first
    let length = 0
    for await (const { data } of eventsOf(response)) {
      if (data === '[DONE]') break
      const event = JSON.parse(data)
      if (event.error !== undefined) return this.#say(event.error.message ?? 'the stream broke', 'bad')
      const delta = event.choices?.[0]?.delta ?? {}
      const text = delta.content ?? delta.reasoning_content ?? delta.reasoning ?? ''
      if (text === '') continue
      first ??= since()
      length += text.length
      if (length <= mostCharacters) answer.append(text)
      this.#say(`first token after ${first}, ${since()} so far`, '')
    }
    this.#say(
      first === undefined ? `nothing, after ${since()}` : `first token after ${first}, all after ${since()}`,
      'good',
    )
  }

  #say(text, tone) {
    setText(byId('playground-status'), text)
    setClass(byId('playground-status'), tone)
  }

  #showWay() {
    if (this.#shown === undefined) return
    const request = [...this.#state.requests.values()].find(({ request_id }) => request_id === this.#shown)
    if (request === undefined || request === this.#wayKnown) return
    this.#wayKnown = request
    const box = byId('playground-way')
    box.replaceChildren(element('h3', 'The way it took'), wayOf(request))
    setHidden(box, false)
  }
}

/** An answer of the API carries the id of a request, a refusal of the admin's key none. */
function isOfApi(response) {
  return response.headers.has('x-request-id')
}

function requestOf() {
  const key = byId('playground-key').value
  const body = {
    model: byId('playground-model').value,
    stream: true,
    stream_options: { include_usage: true },
    max_tokens: Number(byId('playground-tokens').value),
    messages: [{ role: 'user', content: byId('playground-prompt').value }],
  }
  return {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(key !== '' && { 'x-router-api-key': key }) },
    body: JSON.stringify(body),
  }
}
