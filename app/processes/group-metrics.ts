import { type Clock, within } from '../runtime/clock.ts'
import type { Exposition, Samples } from '../telemetry/exposition.ts'
import { type Figures, figureNames } from '../telemetry/figures.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { Observer } from '../telemetry/observer.ts'
import { ProcessSamples } from '../telemetry/process-samples.ts'

/** The part of a process that its metrics need. */
interface MeasuredProcess {
  readonly id: number
  readonly gone: boolean
  readonly channel: { call(name: 'samples', names: readonly string[] | null): Promise<Samples> }
}

export interface GroupMetricsOptions {
  readonly serving: () => readonly MeasuredProcess[]
  /** The supervisor's own. */
  readonly metrics: Metrics
  readonly observer: Observer
  readonly clock: Clock
}

/** Milliseconds that a process may take to give its samples. */
const answerMs = 2000

/** The metrics of all processes as those of one router. */
export class GroupMetrics {
  readonly #options: GroupMetricsOptions
  readonly #samples = new ProcessSamples()

  constructor(options: GroupMetricsOptions) {
    this.#options = options
  }

  /** The process is gone: its counters stay. */
  retire(process: number): void {
    this.#samples.retire(process)
  }

  async exposition(openMetrics: boolean): Promise<Exposition> {
    const { metrics, observer } = this.#options
    await this.#ask(null)
    metrics.residentMemory.set(process.memoryUsage.rss())
    metrics.eventLoopLag.set(observer.lag.takeWorst())
    observer.countDroppedLines()
    return this.#samples.exposition(metrics, openMetrics)
  }

  async figures(): Promise<Figures> {
    await this.#ask(figureNames)
    return this.#samples.figures(this.#options.metrics)
  }

  /** Of a process that does not answer in time, what it said last counts. */
  async #ask(names: readonly string[] | null): Promise<void> {
    const { serving, clock } = this.#options
    await Promise.all(
      serving().map(async (process) => {
        const asked = within(clock, answerMs, process.channel.call('samples', names))
        const samples = await asked.catch(() => undefined)
        if (samples !== undefined && !process.gone) this.#samples.note(process.id, samples)
      }),
    )
  }
}
