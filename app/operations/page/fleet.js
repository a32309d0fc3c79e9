import { TimeChart } from './chart.js'
import { byId, element, fromTemplate, setClass, setHidden, setText } from './dom.js'
import { chartSeconds } from './fleet-state.js'
import { amount, duration, failingClients, timeOfDay } from './words.js'

/** Most lines of what needs attention; the rest is in the tables. */
const mostLines = 8
/** Milliseconds in which a client's failures are news. */
const newsMs = 5 * 60 * 1000

/** One tile each: what it shows, of which points, and how its numbers are written. */
const tiles = [
  {
    title: 'Requests per s',
    lines: [(point) => point.requests],
    write: amount,
    note: ({ figures }) => `${amount(total(figures.requests))} since the start`,
  },
  {
    title: 'Tokens per s',
    lines: [(point) => point.completion_tokens],
    write: amount,
    note: ({ figures }) => `${amount(figures.tokens.completion ?? 0)} since the start`,
  },
  {
    title: 'First token p50 / p95',
    lines: [(point) => point.first_token_ms?.p50 ?? null, (point) => point.first_token_ms?.p95 ?? null],
    write: duration,
    note: () => 'over ten seconds',
  },
  {
    title: 'Errors per s',
    tone: 'bad',
    lines: [(point) => point.errors],
    write: amount,
    note: ({ figures }) => worst(figures.errors),
  },
  {
    title: 'Retries per s',
    tone: 'fair',
    lines: [(point) => point.retries],
    write: amount,
    note: ({ figures }) => `${amount(figures.retries)} since the start`,
  },
  {
    title: 'In flight',
    lines: [(point) => point.in_flight, (point) => point.queued],
    // The number in the queue is in the note.
    beside: 1,
    write: amount,
    note: ({ figures }) => `${amount(figures.queued)} in the queue`,
  },
]

function total(counts) {
  return Object.values(counts).reduce((sum, count) => sum + count, 0)
}

function worst(errors) {
  const [most] = Object.entries(errors).sort((a, b) => b[1] - a[1])
  return most === undefined
    ? 'none since the start'
    : `${amount(total(errors))}, most ${most[0].replaceAll('_', ' ')}`
}

/** The heading: how the fleet is, what needs attention, and the charts. */
export class FleetView {
  #tiles = tiles.map((tile) => new Tile(tile))
  #told = ''

  constructor() {
    byId('charts').append(...this.#tiles.map(({ root }) => root))
  }

  show(state, ranked) {
    const { available, total: all, draining } = state.vitals
    const workers = all === 1 ? 'worker' : 'workers'
    setText(
      byId('summary'),
      `${available} of ${all} ${workers} available${draining ? '; the router is draining' : ''}`,
    )
    setClass(byId('summary'), draining || available === 0 ? 'bad' : available < all ? 'fair' : 'good')
    for (const tile of this.#tiles) tile.show(state)
    this.#showAttention(state, ranked)
  }

  /** Written anew only when its words change: a screen reader reads it out each time. */
  #showAttention(state, ranked) {
    const lines = [...troublesOf(state), ...ranked.filter(({ rank }) => rank < 5).map(workerLine)]
    lines.push(...clientLines(state))
    const shown = lines.slice(0, mostLines)
    if (lines.length > mostLines) shown.push({ text: `and ${lines.length - mostLines} more, below` })
    const words = JSON.stringify(shown)
    if (words === this.#told) return
    this.#told = words
    const box = byId('attention')
    setHidden(box, shown.length === 0)
    box.querySelector('ul').replaceChildren(...shown.map(attentionItem))
  }
}

function attentionItem({ name, word = '', text = '', tone }) {
  const item = element('li')
  if (name !== undefined) item.append(element('b', name), ' ')
  if (word !== '') item.append(element('span', word, tone), text === '' ? '' : ': ')
  item.append(text)
  return item
}

/** Without what counts seconds, or this would be read out each second; the row has it. */
function workerLine({ worker, tone, word, why }) {
  return { name: worker.url, word, tone, text: why.replace(/, silent for \d+ s/, '') }
}

function troublesOf({ vitals, config }) {
  const lines = []
  if (vitals.draining)
    lines.push({ name: 'router', word: 'draining', tone: 'fair', text: 'it takes no new connections' })
  if (vitals.total === 0) lines.push({ name: 'router', word: 'has no workers', tone: 'bad' })
  const reload = config?.last_reload
  if (reload?.ok === false) {
    const text = `read at ${timeOfDay(reload.at)}; the one before is in force, see below`
    lines.push({ name: 'configuration', word: 'wrong', tone: 'bad', text })
  }
  return lines
}

function clientLines(state) {
  const since = new Date(state.now() - newsMs).toISOString()
  const recent = [...state.requests.values()].filter(({ at }) => at > since)
  return failingClients(recent)
    .slice(0, 3)
    .map(({ client, failed, of, why }) => {
      const word = `${failed} of its last ${of} requests failed`
      return { name: `client ${client}`, word, tone: 'bad', text: `most with ${why}` }
    })
}

class Tile {
  root = fromTemplate('chart-tile')
  #tile
  #chart
  #state
  #pointer
  #seconds = chartSeconds

  constructor(tile) {
    this.#tile = tile
    const svg = this.root.querySelector('svg')
    this.#chart = new TimeChart(svg, tile.lines.length)
    setText(this.root.querySelector('h3'), tile.title)
    if (tile.tone !== undefined) this.root.classList.add(tile.tone)
    svg.addEventListener('pointermove', (event) => this.#point(event.clientX))
    svg.addEventListener('pointerleave', () => this.#point(undefined))
  }

  #point(clientX) {
    this.#pointer = clientX
    if (this.#state !== undefined) this.show(this.#state)
  }

  show(state) {
    this.#state = state
    const { lines, write, title, note, beside } = this.#tile
    const now = state.now()
    const points = state.points.map((point) => ({
      at: Date.parse(point.at),
      values: lines.map((line) => line(point)),
    }))
    this.#seconds = windowOf(points, now)
    const highest = this.#chart.show(points, now, this.#seconds)
    const pointed = this.#pointed(points, now)
    this.#chart.mark(pointed?.at, now, this.#seconds)
    const shown = pointed?.values ?? latest(points, lines.length, now)
    const numbers = shown.slice(0, beside).map((value) => (value === null ? '-' : write(value)))
    setText(this.root.querySelector('.value b'), numbers.join(' / '))
    setText(
      this.root.querySelector('.value span'),
      pointed === undefined ? '' : `at ${timeOfDay(pointed.at)}`,
    )
    setText(this.root.querySelector('.note'), note(state))
    const label = `${title}, last ${duration(this.#seconds * 1000)}, scale to ${write(highest)}`
    this.root.querySelector('svg').setAttribute('aria-label', label)
  }

  #pointed(points, now) {
    if (this.#pointer === undefined) return undefined
    const at = this.#chart.timeAt(this.#pointer, now, this.#seconds)
    const distance = (point) => Math.abs(point.at - at)
    return points.reduce(
      (best, one) => (best === undefined || distance(one) < distance(best) ? one : best),
      undefined,
    )
  }
}

/** Seconds that the charts cover: all that is known, from one minute to five. */
function windowOf(points, now) {
  const known = points.length === 0 ? 0 : Math.ceil((now - points[0].at) / 1000)
  return Math.min(chartSeconds, Math.max(60, known))
}

/** What was before a pause is not how it is now. */
function latest(points, count, now) {
  const last = points.filter(({ at }) => now - at < 15_000)
  return Array.from({ length: count }, (_, index) => last.at(-1)?.values[index] ?? null)
}
