import { ask, refusalOf } from './admin.js'
import { Sparkline } from './chart.js'
import { arrange, byId, fromTemplate, setClass, setHidden, setText } from './dom.js'
import { cacheOf, duration, minuteOf, secondsUntil, slowOnes, stateOf, timeOfDay } from './words.js'

const mostInFlight = 60

/** The table of the workers: rows stay, and only what has changed in them is written. */
export class WorkersView {
  #rows = new Map()
  #filter = ''
  #state
  /** Only what can be seen is drawn. */
  #seen = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      const row = this.#rows.get(target.getAttribute('data-id'))
      if (row === undefined) continue
      row.visible = isIntersecting
      if (isIntersecting && this.#state !== undefined) row.draw(this.#state)
    }
  })

  constructor() {
    const filter = byId('workers-filter')
    filter.addEventListener('input', () => {
      this.#filter = filter.value.trim().toLowerCase()
      if (this.#state !== undefined) this.show(this.#state)
    })
  }

  /** @returns the workers with their states, those first that need a look */
  show(state) {
    this.#state = state
    const workers = state.order.flatMap((id) => state.workers.get(id) ?? [])
    const fleet = slowOnes(workers)
    const ranked = workers
      .map((worker) => ({ worker, ...stateOf(worker, fleet) }))
      .sort((a, b) => a.rank - b.rank)
    const shown = ranked.filter((one) => this.#isWanted(one))
    const rows = shown.map((one) => this.#rowOf(one, state))
    for (const [id, row] of this.#rows) if (!state.workers.has(id)) this.#forget(id, row)
    arrange(
      byId('workers').tBodies[0],
      rows.map(({ root }) => root),
    )
    this.#say(shown.length, workers.length)
    return ranked
  }

  #isWanted({ worker, word, why }) {
    if (this.#filter === '') return true
    const text = [worker.url, worker.id, word, why, ...(worker.models ?? [])].join(' ').toLowerCase()
    return text.includes(this.#filter)
  }

  #rowOf(one, state) {
    let row = this.#rows.get(one.worker.id)
    if (row === undefined) {
      row = new Row(one.worker.id)
      this.#rows.set(one.worker.id, row)
      this.#seen.observe(row.root)
    }
    row.show(one, state)
    return row
  }

  #forget(id, row) {
    this.#seen.unobserve(row.root)
    this.#rows.delete(id)
  }

  #say(shown, all) {
    setText(byId('workers-count'), this.#filter === '' ? '' : `${shown} of ${all}`)
    const none = byId('workers-none')
    setHidden(none, shown > 0)
    setText(none, all === 0 ? 'The router has no workers.' : 'No worker fits the filter.')
  }
}

class Row {
  root = fromTemplate('worker-row')
  visible = false
  #worker
  #known
  #parts
  #spark

  constructor(id) {
    const part = (name) => this.root.querySelector(name)
    this.root.dataset.id = id
    this.#parts = {
      url: part('.url'),
      models: part('.models'),
      state: part('.state'),
      why: part('.why'),
      load: part('.load b'),
      attempts: part('.minute b'),
      minute: part('.minute span'),
      times: part('.times'),
      engine: part('.engine span'),
      cache: part('.engine .dim'),
      error: part('.error'),
      drain: part('.drain'),
      remove: part('.remove'),
    }
    this.#spark = new Sparkline(part('svg'), mostInFlight)
    this.#parts.drain.addEventListener('click', () => void drain(this.#worker))
    this.#parts.remove.addEventListener('click', () => void remove(this.#worker))
  }

  show({ worker, tone, word, why, until }, state) {
    const { state: shown, why: reason, cache } = this.#parts
    setText(shown, word)
    setClass(shown, `state ${tone}`)
    setText(reason, until == null ? why : `${why}${why === '' ? '' : ', '}${untilOf(until, state.now())}`)
    setText(cache, worker.load === null ? '' : cacheOf(worker.load, state.now()))
    if (this.visible) this.draw(state)
    if (this.#known === worker) return
    this.#known = worker
    this.#worker = worker
    this.#write(worker)
  }

  draw(state) {
    this.#spark.show(state.inFlight.get(this.root.dataset.id) ?? [])
  }

  #write(worker) {
    const parts = this.#parts
    setText(parts.url, worker.url)
    const models = worker.models?.join(', ') ?? 'models not known yet'
    setText(parts.models, worker.weight === 1 ? models : `${models}, weight ${worker.weight}`)
    setText(parts.load, worker.in_flight)
    const { attempts, failures, first_token_ms: times } = worker.recent
    setText(parts.attempts, attempts)
    setText(parts.minute, minuteOf(worker.recent))
    setClass(parts.minute, failures > 0 ? 'bad' : 'dim')
    setText(parts.times, times === null ? '' : `${duration(times.p50)} / ${duration(times.p95)}`)
    const { load } = worker
    setText(
      parts.engine,
      load === null ? '' : `${load.running ?? '?'} running, ${load.waiting ?? '?'} waiting`,
    )
    const error = worker.last_error
    setText(parts.error, error === null ? '' : `${timeOfDay(error.at)} ${error.message}`)
    setText(parts.drain, worker.draining ? 'Undrain' : 'Drain')
    parts.drain.setAttribute('aria-label', `${worker.draining ? 'Undrain' : 'Drain'} ${worker.url}`)
    parts.remove.setAttribute('aria-label', `Remove ${worker.url}`)
  }
}

function untilOf(until, now) {
  const seconds = secondsUntil(until, now)
  return seconds === 0 ? 'asked again now' : `asked again in ${seconds} s`
}

async function drain({ id, url, draining }) {
  const body = JSON.stringify({ draining: !draining })
  const headers = { 'content-type': 'application/json' }
  const done = draining ? `${url} gets requests again` : `${url} gets nothing new`
  await act(`workers/${id}`, { method: 'PATCH', headers, body }, done)
}

async function remove({ id, url, in_flight: inFlight }) {
  const dialog = byId('remove-dialog')
  setText(byId('remove-what'), `${url}, ${inFlight} in flight`)
  dialog.returnValue = 'cancel'
  dialog.showModal()
  await new Promise((resolve) => dialog.addEventListener('close', resolve, { once: true }))
  if (dialog.returnValue === 'remove') await act(`workers/${id}`, { method: 'DELETE' }, `${url} is removed`)
}

/** Does it, and says what came of it. */
async function act(path, options, done) {
  const result = byId('action-result')
  setText(result, '')
  try {
    const response = await ask(path, options)
    setText(result, response.ok ? done : await refusalOf(response))
    setClass(result, response.ok ? '' : 'bad')
  } catch {
    setText(result, 'the router does not answer')
    setClass(result, 'bad')
  }
}
