import { ConfigView } from './config.js'
import { byId, setClass, setText } from './dom.js'
import { follow } from './feed.js'
import { FleetView } from './fleet.js'
import { FleetState } from './fleet-state.js'
import { PlaygroundView } from './playground.js'
import { RequestsView } from './requests.js'
import { timeOfDay } from './words.js'
import { WorkersView } from './workers.js'

const state = new FleetState()
const fleet = new FleetView()
const workers = new WorkersView()
const others = [new RequestsView(), new PlaygroundView(), new ConfigView()]

/** Since when the router has not been heard, by the clock here, and what it said or did last. */
let lostAt
let lostWhy = ''
/** What is said of the last time it was away. */
let cameBack = ''

void follow({
  onFrame(frame, first) {
    const before = state.startedAt
    state.apply(frame, first)
    if (lostAt !== undefined) cameBack = backWords(before)
    lostAt = undefined
    render()
  },
  onLost(why) {
    lostAt ??= Date.now()
    lostWhy = why
    showConnection()
  },
})

// What counts seconds goes on counting where the router says nothing.
setInterval(showConnection, 1000)

function render() {
  fleet.show(state, workers.show(state))
  for (const view of others) view.show(state)
  showConnection()
}

function backWords(before) {
  const away = `away from ${timeOfDay(lostAt)} to ${timeOfDay(Date.now())}`
  if (before === undefined) return ''
  return before === state.startedAt ? `, was ${away}` : `, was restarted: ${away}`
}

function showConnection() {
  const line = byId('connection')
  document.body.classList.toggle('old', lostAt !== undefined && state.at !== undefined)
  if (lostAt === undefined) {
    if (state.at === undefined) return
    const { version, startedAt } = state
    setText(line, `live, ${version}, up since ${sinceWords(startedAt)}${cameBack}`)
    setClass(line, 'dim')
    return
  }
  const shown = state.at === undefined ? '' : ` This is how it was at ${timeOfDay(state.at)}.`
  setText(line, `Not connected since ${timeOfDay(lostAt)}: ${lostWhy}.${shown}`)
  setClass(line, 'bad')
  if (state.at === undefined) setText(byId('summary'), 'not connected')
}

/** The day as well, where it was not today. */
function sinceWords(at) {
  const then = new Date(at)
  const today = then.toDateString() === new Date().toDateString()
  return today ? timeOfDay(at) : `${then.toLocaleDateString()} ${timeOfDay(at)}`
}
