/** How things are called: states of workers, outcomes of requests, numbers. No document here, only words. */

/** Share of a worker's attempts of the last minute that must have failed for it to be called failing. */
const failingShare = 0.1

/**
 * What a worker is in one word, the same as in `vllm-router top`: why, until when, and how much it matters; rank 0 comes
 * first, and from rank 5 on all is well.
 * @param fleet what `slowOnes` says
 */
export function stateOf(worker, { slow, median }) {
  const { last_choice, health, health_reason: reason, draining, breaker, recent } = worker
  if (health === 'unhealthy') return { rank: 0, tone: 'bad', word: sickness(reason ?? ''), why: reason ?? '' }
  if (draining) {
    const left = worker.in_flight
    const why = left === 0 ? 'nothing in flight: it can be stopped' : `${left} in flight go on`
    return { rank: 4, tone: 'fair', word: 'draining', why }
  }
  if (health === 'starting')
    return { rank: 3, tone: 'fair', word: 'starting', why: worker.last_error?.message ?? 'not asked yet' }
  if (breaker.state === 'open')
    return { rank: 1, tone: 'bad', word: 'breaker open', why: breaker.reason ?? '', until: breaker.until }
  if (last_choice === 'no_sign_of_life')
    return { rank: 0, tone: 'bad', word: 'hung', why: `no sign of life${waitingOf(worker)}` }
  if (last_choice === 'busy' || worker.busy_until !== null || mostlyRefuses(recent))
    return { rank: 2, tone: 'fair', word: 'busy', why: refusalsOf(recent), until: worker.busy_until }
  if (breaker.state === 'half_open')
    return { rank: 2, tone: 'fair', word: 'breaker open', why: `${breaker.reason ?? ''}; on trial now` }
  if (worker.unavailable_reason !== null)
    return { rank: 1, tone: 'bad', word: worker.unavailable_reason.replaceAll('_', ' '), why: '' }
  return unwell(worker, slow, median) ?? { rank: 5, tone: 'good', word: 'healthy', why: '' }
}

function unwell({ id, recent, last_error: error }, slow, median) {
  const { attempts, failures, first_token_ms: times } = recent
  if (failures > 0 && failures >= attempts * failingShare) {
    const last = error === null ? '' : `; last: ${error.message}`
    const why = `${failures} of ${attempts} attempts failed within a minute${last}`
    return { rank: 3, tone: 'bad', word: 'failing', why }
  }
  if (!slow.has(id)) return undefined
  const why = `first token p95 ${duration(times.p95)}, at the median worker ${duration(median)}`
  return { rank: 4, tone: 'fair', word: 'slow', why }
}

/** One that takes connections and does nothing is hung; one that says itself that it is not well is not. */
function sickness(reason) {
  if (/no progress|no answer within/.test(reason)) return 'hung'
  return /^E[A-Z]+|TIMEOUT/.test(reason) ? 'down' : 'unhealthy'
}

/** It is asked again after each pause, and then refuses again: between the two it is no better. */
function mostlyRefuses({ refusals, attempts }) {
  return refusals > 0 && refusals * 2 >= attempts
}

function waitingOf({ waiting: { requests, quiet_seconds: quiet } }) {
  return requests === 0 ? '' : `: ${requests} waiting, silent for ${Math.round(quiet)} s`
}

function refusalsOf({ refusals, attempts }) {
  return `refused ${refusals} of ${attempts} attempts within a minute (429, 503)`
}

/** Ids of workers more than three times as slow as the median, and slower than a second: as the alert has it. */
export function slowOnes(workers) {
  const timeOf = (worker) => worker.recent.first_token_ms?.p95 ?? 0
  const times = workers
    .map(timeOf)
    .filter((ms) => ms > 0)
    .sort((a, b) => a - b)
  const median = times[Math.floor((times.length - 1) / 2)] ?? 0
  const slow = workers.filter((worker) => timeOf(worker) > 1000 && timeOf(worker) > 3 * median)
  return { slow: new Set(slow.map(({ id }) => id)), median }
}

/** What is worth a word of the last minute, beside the number of attempts. */
export function minuteOf({ retries, failures, refusals }) {
  const parts = []
  if (failures > 0) parts.push(`${failures} failed`)
  if (refusals > 0) parts.push(`${refusals} refused`)
  if (retries > 0) parts.push(retries === 1 ? '1 retry' : `${retries} retries`)
  return parts.join(', ')
}

export function cacheOf({ at, kv_cache_usage: usage }, now) {
  const age = `${Math.max(0, Math.round((now - Date.parse(at)) / 1000))} s ago`
  return usage === null ? age : `cache ${Math.round(usage * 100)}%, ${age}`
}

/** How a request ended: `tone` is empty for what needs no look. */
export function outcomeOf({ status, end_reason, error }) {
  if (end_reason === 'running') return { text: status === 0 ? 'waiting' : 'answering', tone: 'run' }
  if (end_reason === 'completed' && status < 400) return { text: String(status), tone: '' }
  if (end_reason === 'completed') return { text: `${status} from the worker`, tone: 'bad' }
  const word = end_reason.replaceAll('_', ' ')
  if (end_reason === 'client_closed') return { text: 'client left', tone: 'fair' }
  return { text: `${status} ${word}${error === undefined ? '' : `: ${error}`}`, tone: 'bad' }
}

export function isFailed(request) {
  return outcomeOf(request).tone === 'bad'
}

/**
 * Who fails, and why, among these requests; most failures first. A client is a tenant, where keys tell: all of them may
 * come by one proxy.
 * @returns {{ client: string, failed: number, of: number, why: string }[]}
 */
export function failingClients(requests) {
  const clients = new Map()
  for (const request of requests) {
    const name = request.tenant ?? request.client ?? 'unknown'
    const counted = clients.get(name) ?? { client: name, failed: 0, of: 0, reasons: new Map() }
    clients.set(name, counted)
    counted.of += 1
    if (!isFailed(request)) continue
    counted.failed += 1
    const why = outcomeOf(request).text
    counted.reasons.set(why, (counted.reasons.get(why) ?? 0) + 1)
  }
  return [...clients.values()]
    .filter(({ failed }) => failed > 0)
    .sort((a, b) => b.failed - a.failed)
    .map(({ client, failed, of, reasons }) => {
      const [[why]] = [...reasons].sort((a, b) => b[1] - a[1])
      return { client, failed, of, why }
    })
}

export function duration(ms) {
  if (ms === undefined || ms === null) return ''
  if (ms < 1000) return `${Math.round(ms)} ms`
  return ms < 100_000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.round(ms / 1000)} s`
}

/** With a digit after the point below ten. */
export function amount(number) {
  if (number >= 10_000) return `${(number / 1000).toFixed(number >= 100_000 ? 0 : 1)}k`
  return number >= 10 || Number.isInteger(number) ? String(Math.round(number)) : number.toFixed(1)
}

export const timeOfDay = (at) => new Date(at).toLocaleTimeString([], { hour12: false })

export function secondsUntil(until, now) {
  return Math.max(0, Math.ceil((Date.parse(until) - now) / 1000))
}
