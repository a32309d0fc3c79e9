import type { Why } from '../../policies/selection/policy.ts'
import type { CounterSeries } from './bound-counter.ts'
import type { Metrics } from './metrics.ts'

/** All words that a policy has for why it chose. */
const whys: readonly Why[] = ['turn', 'load', 'session', 'affinity', 'index', 'spill', 'custom']

/** Counts what the selection policy decides: who is chosen and why, and what was believed to be in caches. */
export class DecisionCounts {
  readonly #metrics: Metrics
  #policy: string
  /** Share of a prompt from which on a worker counts as holding it. */
  #cacheThreshold: number
  /** By URL of the worker; a series is made when its reason is first given. */
  readonly #series = new Map<string, Partial<Record<Why, CounterSeries>>>()

  constructor(metrics: Metrics, policy: string, cacheThreshold: number) {
    this.#metrics = metrics
    this.#policy = policy
    this.#cacheThreshold = cacheThreshold
  }

  added(url: string): void {
    this.#series.set(url, {})
  }

  removed(url: string): void {
    this.#series.delete(url)
    for (const why of whys) this.#metrics.decisions.remove(this.#policy, url, why)
  }

  chosen(url: string, why: Why): void {
    const series = this.#series.get(url)
    if (series === undefined) return
    series[why] ??= this.#metrics.decisions.of(this.#policy, url, why)
    series[why].inc()
  }

  /** A share of a prompt that its worker was believed to hold. */
  expected(share: number): void {
    const { cacheHits, cacheMisses, expectedShare } = this.#metrics
    const counter = share >= this.#cacheThreshold ? cacheHits : cacheMisses
    counter.of().inc()
    expectedShare.of().observe(share)
  }

  /** Another policy chooses from now on: the series of the one before go. */
  changed(policy: string, cacheThreshold: number): void {
    this.#cacheThreshold = cacheThreshold
    if (policy === this.#policy) return
    const urls = [...this.#series.keys()]
    for (const url of urls) this.removed(url)
    this.#policy = policy
    for (const url of urls) this.added(url)
  }
}
