import { arrange, byId, element, fromTemplate, setClass, setHidden, setText } from './dom.js'
import { duration, isFailed, outcomeOf, timeOfDay } from './words.js'

const kinds = {
  all: () => true,
  failed: isFailed,
  retried: ({ attempts }) => attempts.length > 1,
  running: ({ end_reason }) => end_reason === 'running',
}

/** The last requests and where each went. */
export class RequestsView {
  #rows = new Map()
  #state
  #paused = false

  constructor() {
    for (const id of ['requests-filter', 'requests-kind', 'requests-slow'])
      byId(id).addEventListener('input', () => this.#render())
    const pause = byId('requests-pause')
    pause.addEventListener('click', () => {
      this.#paused = !this.#paused
      pause.setAttribute('aria-pressed', String(this.#paused))
      setText(pause, this.#paused ? 'Go on' : 'Pause')
      if (!this.#paused) this.#render()
    })
  }

  show(state) {
    this.#state = state
    if (!this.#paused) this.#render()
  }

  #render() {
    const state = this.#state
    if (state === undefined) return
    const all = state.newestRequests()
    const shown = all.filter(this.#wanted(state))
    const rows = new Map()
    for (const request of shown) {
      const key = `${request.request_id} ${request.at}`
      const row = this.#rows.get(key) ?? new Row()
      row.show(request, state)
      rows.set(key, row)
    }
    this.#rows = rows
    arrange(
      byId('requests').tBodies[0],
      [...rows.values()].flatMap(({ roots }) => roots),
    )
    setText(byId('requests-count'), `${shown.length} of the last ${all.length}`)
    setHidden(byId('requests-none'), shown.length > 0)
    setText(byId('requests-none'), all.length === 0 ? 'No request yet.' : 'No request fits the filter.')
  }

  #wanted(state) {
    const text = byId('requests-filter').value.trim().toLowerCase()
    const ofKind = kinds[byId('requests-kind').value]
    const slow = Number(byId('requests-slow').value)
    return (request) =>
      ofKind(request) &&
      (slow <= 0 || tookMs(request, state) > slow) &&
      (text === '' || wordsOf(request).includes(text))
  }
}

function wordsOf(request) {
  const { request_id, tenant, client, model, route, answered_by, attempts, passed_over } = request
  const workers = [...attempts, ...passed_over].map(({ worker }) => worker)
  const words = [request_id, tenant, client, model, route, answered_by, outcomeOf(request).text, ...workers]
  return words.join(' ').toLowerCase()
}

function tookMs({ at, phases }, state) {
  return phases.end ?? Math.max(0, state.now() - Date.parse(at))
}

class Row {
  root = fromTemplate('request-row')
  #detail
  #request
  #button = this.root.querySelector('.open')

  constructor() {
    this.#button.addEventListener('click', () => this.#toggle())
  }

  get roots() {
    return this.#detail === undefined ? [this.root] : [this.root, this.#detail]
  }

  show(request, state) {
    const running = request.end_reason === 'running'
    if (running) setText(this.root.querySelector('.took'), duration(tookMs(request, state)))
    if (request === this.#request) return
    this.#request = request
    const put = (name, text) => setText(this.root.querySelector(name), text)
    const { tone, text } = outcomeOf(request)
    const last = request.attempts.at(-1)
    setText(this.#button, timeOfDay(request.at))
    put('.client', request.tenant ?? request.client ?? '')
    put(
      '.model',
      request.answered_by === undefined
        ? request.model
        : `${request.model}, answered by ${request.answered_by}`,
    )
    put('.outcome', text)
    setClass(this.root.querySelector('.outcome'), `outcome ${tone}`)
    put(
      '.worker',
      last === undefined ? 'none' : `${last.worker}${last.why === undefined ? '' : `, ${last.why}`}`,
    )
    put('.attempts', request.attempts.length)
    put('.first', duration(request.phases.first_token))
    if (!running) put('.took', duration(request.phases.end))
    put('.tokens', tokensOf(request))
    if (this.#detail !== undefined) this.#detail.firstElementChild.replaceChildren(wayOf(request))
  }

  #toggle() {
    const open = this.#detail === undefined
    this.#button.setAttribute('aria-expanded', String(open))
    if (!open) {
      this.#detail.remove()
      this.#detail = undefined
      return
    }
    const cell = element('td')
    cell.colSpan = 9
    cell.setAttribute('role', 'cell')
    cell.append(wayOf(this.#request))
    this.#detail = element('tr', undefined, 'detail')
    this.#detail.setAttribute('role', 'row')
    this.#detail.append(cell)
    this.root.after(this.#detail)
  }
}

function tokensOf({ prompt_tokens: prompt, completion_tokens: completion }) {
  return prompt === undefined && completion === undefined ? '' : `${prompt ?? '?'} + ${completion ?? '?'}`
}

/** The way of a request in sentences: attempts, those passed over, and where the time went. */
export function wayOf(request) {
  const box = element('div', undefined, 'way')
  const { route, request_id, attempts, candidates, passed_over, phases } = request
  const chosen = `${candidates} ${candidates === 1 ? 'worker' : 'workers'} to choose from`
  box.append(element('p', `${route}, id ${request_id}, ${chosen}`, 'dim'))
  const list = element('ol')
  for (const { worker, why, outcome, sent_ms, ended_ms } of attempts) {
    const time = sent_ms === undefined ? '' : `, sent after ${duration(sent_ms)}`
    const end = ended_ms === undefined ? '' : `, over after ${duration(ended_ms)}`
    const item = element('li')
    item.append(
      element('b', worker),
      `${why === undefined ? '' : ` (${why})`}: ${outcome.replaceAll('_', ' ')}${time}${end}`,
    )
    list.append(item)
  }
  if (attempts.length > 0) box.append(list)
  if (passed_over.length > 0) {
    const others = passed_over.map(({ worker, reason }) => `${worker} (${reason.replaceAll('_', ' ')})`)
    box.append(element('p', `Passed over: ${others.join(', ')}`))
  }
  const names = { admitted: 'admitted', sent: 'sent', head: 'head', first_token: 'first token', end: 'end' }
  const steps = Object.entries(names).filter(([name]) => phases[name] !== undefined)
  box.append(
    element('p', steps.map(([name, word]) => `${word} ${duration(phases[name])}`).join(' → '), 'dim'),
  )
  return box
}
