import type { RequestRecord } from '../request/request-record.ts'
import type { UsageSource } from '../usage/usage-keeper.ts'
import {
  hourMs,
  nothing,
  type UsageCounts,
  type UsageRow,
  type UsageSums,
  usageFields,
} from '../usage/usage-row.ts'
import type { CounterSeries } from './bound-counter.ts'
import type { Metrics } from './metrics.ts'

/** What one tenant has used of one model since the start. Its numbers are the metrics themselves. */
interface Entry {
  readonly tenant: string
  readonly model: string
  readonly series: Readonly<Record<keyof UsageCounts, CounterSeries>>
  /** What of it has been taken. */
  readonly taken: UsageSums
  /** Something was counted since. */
  touched: boolean
}

/** Counts what tenants use, by model, in metrics; and gives it out by hour, so that somebody can keep it. */
export class UsageBook implements UsageSource {
  onCounted: () => void = () => {}
  readonly #metrics: Metrics
  readonly #wallNow: () => number
  readonly #entries = new Map<string, Map<string, Entry>>()
  #touched: Entry[] = []
  /** Of hours that are over. */
  #before: UsageRow[] = []
  #hour = 0

  /** @param wallNow milliseconds since 1970 */
  constructor(metrics: Metrics, wallNow: () => number = Date.now) {
    this.#metrics = metrics
    this.#wallNow = wallNow
  }

  /**
   * A request has ended that was sent to a worker: it counts in the hour of its end.
   * @param tenant as a label; empty where there is none
   */
  count(tenant: string, { model, usage, tokenEvents, workerMs }: RequestRecord): void {
    const hour = Math.floor(this.#wallNow() / hourMs)
    if (hour !== this.#hour) {
      this.#closeHour()
      this.#hour = hour
    }
    const entry = this.#entryOf(tenant, model)
    const { series } = entry
    series.requests.value += 1
    series.worker_seconds.value += workerMs / 1000
    if (usage === undefined) {
      series.unmetered_requests.value += 1
      series.completion_tokens.value += tokenEvents
    } else {
      series.prompt_tokens.value += usage.prompt
      series.completion_tokens.value += usage.completion
      if (usage.cached !== undefined) series.cached_tokens.value += usage.cached
    }
    if (entry.touched) return
    entry.touched = true
    if (this.#touched.push(entry) === 1) this.onCounted()
  }

  /** The series of tenants for which this is false go; what they have used stays in the books. */
  keepOnly(isKept: (tenant: string) => boolean): void {
    this.#closeHour()
    for (const [tenant, models] of this.#entries) {
      if (isKept(tenant)) continue
      for (const model of models.keys()) this.#removeSeries(tenant, model)
      this.#entries.delete(tenant)
    }
  }

  take(): readonly UsageRow[] {
    this.#closeHour()
    const rows = this.#before
    this.#before = []
    return rows
  }

  #closeHour(): void {
    for (const entry of this.#touched) {
      const { tenant, model, series, taken } = entry
      const used = { ...nothing } as UsageSums
      for (const field of usageFields) {
        used[field] = series[field].value - taken[field]
        taken[field] = series[field].value
      }
      this.#before.push({ hour: this.#hour, tenant, model, ...used })
      entry.touched = false
    }
    this.#touched = []
  }

  #entryOf(tenant: string, model: string): Entry {
    let models = this.#entries.get(tenant)
    if (models === undefined) {
      models = new Map()
      this.#entries.set(tenant, models)
    }
    let entry = models.get(model)
    if (entry === undefined) {
      entry = this.#begin(tenant, model)
      models.set(model, entry)
    }
    return entry
  }

  #removeSeries(tenant: string, model: string): void {
    const { usageRequests, usageTokens, usageUnmetered, usageWorkerSeconds } = this.#metrics
    for (const metric of [usageRequests, usageUnmetered, usageWorkerSeconds]) metric.remove(tenant, model)
    for (const kind of ['prompt', 'cached', 'completion']) usageTokens.remove(tenant, model, kind)
  }

  #begin(tenant: string, model: string): Entry {
    const { usageRequests, usageTokens, usageUnmetered, usageWorkerSeconds } = this.#metrics
    const series = {
      requests: usageRequests.of(tenant, model),
      prompt_tokens: usageTokens.of(tenant, model, 'prompt'),
      cached_tokens: usageTokens.of(tenant, model, 'cached'),
      completion_tokens: usageTokens.of(tenant, model, 'completion'),
      unmetered_requests: usageUnmetered.of(tenant, model),
      worker_seconds: usageWorkerSeconds.of(tenant, model),
    }
    const taken = Object.fromEntries(usageFields.map((field) => [field, series[field].value])) as UsageSums
    return { tenant, model, series, taken, touched: false }
  }
}
