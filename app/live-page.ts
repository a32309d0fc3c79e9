/**
 * The live view: which worker is in which state, and why. One static page without any outside resource; what it shows is
 * what `GET /workers` says, asked once a second.
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
  .good { color: #176f2c } .bad { color: #b3261e } .fair { color: #8a5a00 } .dim { color: #666 }
  @media (prefers-color-scheme: dark) {
    body { color: #ddd; background: #161616 } th, td { border-color: #333 } .dim { color: #999 }
    .good { color: #6fcf85 } .bad { color: #ff8a80 } .fair { color: #ffc766 }
  }
</style>
<h1>vllm-router <span id="summary" class="dim">loading</span></h1>
<table>
  <thead><tr><th>Worker<th>State<th>In flight<th>Breaker<th>Last error<th>Models</thead>
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
    if (worker.available && worker.last_choice === 'busy') return ['busy, asked again in ' + left(worker.busy_until) + ' s', 'fair']
    if (worker.available && worker.last_choice) return ['last choice: no sign of life', 'fair']
    if (worker.available) return ['available', 'good']
    const why = worker.health_reason || worker.unavailable_reason.replaceAll('_', ' ')
    return [worker.unavailable_reason === 'draining' ? 'draining' : 'not available: ' + why, worker.draining || worker.health === 'starting' ? 'fair' : 'bad']
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
    const body = byId('workers')
    body.replaceChildren()
    for (const worker of workers) {
      const row = body.insertRow()
      cell(row, worker.url)
      cell(row, ...state(worker))
      cell(row, worker.in_flight, 'number')
      cell(row, ...breaker(worker.breaker))
      const error = worker.last_error
      cell(row, error ? new Date(error.at).toLocaleTimeString() + ' ' + error.message : '', 'dim')
      cell(row, worker.models ? worker.models.join(', ') : 'not listed yet', 'dim')
    }
  }
  async function refresh() {
    try {
      const response = await fetch('workers', key ? { headers: { authorization: 'Bearer ' + key } } : {})
      if (response.status === 401) key = prompt('Admin key') || ''
      else show((await response.json()).workers)
    } catch {
      byId('summary').textContent = 'the router does not answer'
    }
    setTimeout(refresh, 1000)
  }
  refresh()
</script>
</html>
`
