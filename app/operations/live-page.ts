/**
 * The live view: which worker is in which state, and why. One static page without any outside resource; what it shows is
 * what `GET /workers` says, asked once a second. What is older than 3 s is grey, and said to be old: it may be untrue.
 */
export const livePage = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>vllm-router</title>
<style>
  body { font: 14px/1.5 system-ui, sans-serif; margin: 2rem; color: #222; background: #fff }
  h1 { font-size: 1.2rem; margin: 0 }
  table { border-collapse: collapse; margin-top: 1rem; width: 100% }
  th, td { text-align: left; padding: .35rem .8rem .35rem 0; border-bottom: 1px solid #ddd; vertical-align: top }
  td.number { font-variant-numeric: tabular-nums; text-align: right; padding-right: 2rem }
  table.old { opacity: .45 }
  .good { color: #176f2c } .bad { color: #b3261e } .fair { color: #8a5a00 } .dim { color: #666 }
  @media (prefers-color-scheme: dark) {
    body { color: #ddd; background: #161616 } th, td { border-color: #333 } .dim { color: #999 }
    .good { color: #6fcf85 } .bad { color: #ff8a80 } .fair { color: #ffc766 }
  }
</style>
<h1>vllm-router <span id="summary" class="dim">loading</span></h1>
<div id="age" role="status" class="dim"></div>
<table id="table">
  <thead><tr><th>Worker<th>State<th>In flight<th>Last minute<th>First token<th>Engine<th>Breaker<th>Last error<th>Models</thead>
  <tbody id="workers"></tbody>
</table>
<script>
  let key = ''
  const byId = (id) => document.getElementById(id)
  function cell(row, text, className) {
    const td = row.insertCell()
    td.textContent = text
    if (className) td.className = className
  }
  function state(worker) {
    const left = (until) => Math.max(0, Math.ceil((new Date(until) - Date.now()) / 1000))
    const { requests, quiet_seconds: quiet } = worker.waiting
    const waiting = requests ? ', ' + requests + ' waiting, silent for ' + Math.round(quiet) + ' s' : ''
    if (worker.available && worker.last_choice === 'busy') return ['busy, asked again in ' + left(worker.busy_until) + ' s', 'fair']
    if (worker.available && worker.last_choice) return ['stuck: no sign of life' + waiting, 'bad']
    if (worker.available && slow.has(worker)) return ['slow' + waiting, 'fair']
    if (worker.available) return ['available', 'good']
    const why = worker.health_reason || worker.unavailable_reason.replaceAll('_', ' ')
    return [worker.unavailable_reason === 'draining' ? 'draining' : 'not available: ' + why, worker.draining || worker.health === 'starting' ? 'fair' : 'bad']
  }
  // More than three times as slow as the median worker, and more than a second: as the alert has it.
  let slow = new Set()
  function findSlow(workers) {
    const time = (worker) => worker.recent.first_token_ms?.p95 ?? 0
    const times = workers.map(time).filter((ms) => ms > 0).sort((a, b) => a - b)
    const median = times[Math.floor((times.length - 1) / 2)] ?? 0
    slow = new Set(workers.filter((worker) => time(worker) > 1000 && time(worker) > 3 * median))
  }
  // Sick ones first.
  function rank(worker) {
    if (!worker.available) return worker.draining || worker.health === 'starting' ? 2 : 0
    return worker.last_choice === 'no_sign_of_life' ? 1 : worker.last_choice ? 3 : slow.has(worker) ? 4 : 5
  }
  function lastMinute({ attempts, failures, refusals, retries }) {
    const parts = [attempts + ' attempts']
    if (retries) parts.push(retries + ' of them further ones')
    if (failures) parts.push(failures + ' failed')
    if (refusals) parts.push(refusals + ' refused')
    return [parts.join(', '), failures ? 'bad' : refusals ? 'fair' : 'dim']
  }
  function engine(load) {
    if (!load) return ''
    const cache = load.kv_cache_usage === null ? '' : ', cache ' + Math.round(load.kv_cache_usage * 100) + '%'
    return (load.running ?? '?') + ' running, ' + (load.waiting ?? '?') + ' waiting' + cache + ' (' + Math.round(load.age_seconds) + ' s ago)'
  }
  function breaker({ state, reason, until }) {
    if (state === 'closed' || state === 'disabled') return [state, 'dim']
    const seconds = until ? ', trial in ' + Math.max(0, Math.ceil((new Date(until) - Date.now()) / 1000)) + ' s' : ''
    return [state.replace('_', ' ') + ': ' + reason + seconds, state === 'open' ? 'bad' : 'fair']
  }
  function show(workers) {
    const available = workers.filter((worker) => worker.available).length
    byId('summary').textContent = available + ' of ' + workers.length + ' workers available, ' +
      workers.reduce((sum, worker) => sum + worker.in_flight, 0) + ' requests in flight'
    findSlow(workers)
    const body = byId('workers')
    body.replaceChildren()
    for (const worker of workers.toSorted((a, b) => rank(a) - rank(b))) {
      const row = body.insertRow()
      cell(row, worker.url)
      cell(row, ...state(worker))
      cell(row, worker.in_flight, 'number')
      cell(row, ...lastMinute(worker.recent))
      const times = worker.recent.first_token_ms
      cell(row, times ? 'p50 ' + times.p50 + ' ms, p95 ' + times.p95 + ' ms' : '', 'dim')
      cell(row, engine(worker.load), 'dim')
      cell(row, ...breaker(worker.breaker))
      const error = worker.last_error
      cell(row, error ? new Date(error.at).toLocaleTimeString() + ' ' + error.message : '', 'dim')
      cell(row, worker.models ? worker.models.join(', ') : 'not listed yet', 'dim')
    }
  }
  let answeredAt = 0
  function showAge() {
    const seconds = Math.round((Date.now() - answeredAt) / 1000)
    const old = answeredAt !== 0 && seconds > 3
    byId('table').className = old ? 'old' : ''
    byId('age').className = old ? 'bad' : 'dim'
    const time = new Date(answeredAt).toLocaleTimeString()
    byId('age').textContent = answeredAt === 0 ? '' : old
      ? 'The router has not answered for ' + seconds + ' s. This is how it was at ' + time + '.'
      : 'as of ' + time
  }
  async function refresh() {
    try {
      const headers = key ? { authorization: 'Bearer ' + key } : {}
      const response = await fetch('workers', { headers, signal: AbortSignal.timeout(2500) })
      if (response.status === 401) key = prompt('Admin key') || ''
      else if (response.ok) {
        show((await response.json()).workers)
        answeredAt = Date.now()
      }
    } catch {
      if (answeredAt === 0) byId('summary').textContent = 'the router does not answer'
    }
    setTimeout(refresh, 1000)
  }
  setInterval(showAge, 250)
  refresh()
</script>
</html>
`
