import { ask, refusalOf } from './admin.js'
import { byId, element, setClass, setHidden, setText } from './dom.js'
import { timeOfDay } from './words.js'

/** The configuration in force, and what came of reading it anew. */
export class ConfigView {
  #shown

  constructor() {
    byId('config-filter').addEventListener('input', () => this.#filter())
    byId('config-reload').addEventListener('click', () => void reload())
  }

  show({ config }) {
    if (config === this.#shown || config === undefined) return
    this.#shown = config
    byId('config-last').replaceChildren(...lastReload(config.last_reload))
    const entries = Object.entries(config.settings).map(([name, value]) => {
      const entry = element('div')
      entry.append(element('dt', name), element('dd', value === '' ? 'not set' : value))
      return entry
    })
    byId('config').replaceChildren(...entries)
    this.#filter()
  }

  #filter() {
    const text = byId('config-filter').value.trim().toLowerCase()
    for (const entry of byId('config').children)
      setHidden(entry, !entry.textContent.toLowerCase().includes(text))
  }
}

function lastReload(reload) {
  if (reload === null) return [element('p', 'As it was at the start: not read anew since.', 'dim')]
  const { at, ok, changed, problems } = reload
  const time = timeOfDay(at)
  if (ok) {
    const what = changed.length === 0 ? 'nothing has changed' : `changed: ${changed.join(', ')}`
    return [element('p', `Read at ${time}: ${what}.`, 'good')]
  }
  const list = element('ul', undefined, 'bad')
  list.append(...problems.map((problem) => element('li', problem)))
  return [element('p', `Read at ${time} and not taken over: the one before is in force.`, 'bad'), list]
}

async function reload() {
  const result = byId('config-result')
  setText(result, '')
  try {
    const response = await ask('reload', { method: 'POST' })
    // 409: read, and not taken over; the words for it come with the next event.
    const ok = response.ok || response.status === 409
    setText(result, ok ? 'read anew' : await refusalOf(response))
    setClass(result, ok ? '' : 'bad')
  } catch {
    setText(result, 'the router does not answer')
    setClass(result, 'bad')
  }
}
