import { type ExportResult, ExportResultCode } from '@opentelemetry/core'
import type { ReadableSpan, SpanExporter } from '@opentelemetry/sdk-trace'
import type { Log } from '../logger.ts'

export interface WatchedExporterOptions {
  readonly exporter: SpanExporter
  readonly log: Log
  /** For the log. */
  readonly endpoint: string
  /** Called with the size of each batch that has arrived or is lost. */
  readonly onOver: (spans: number) => void
  /** Called with the size of each batch that is lost. */
  readonly onLost: (spans: number) => void
}

/** Says that traces do not arrive once, and once that they arrive again: not with each batch. */
export class WatchedExporter implements SpanExporter {
  readonly #options: WatchedExporterOptions
  /** Spans lost since it began to fail; undefined while all is well. */
  #lost: number | undefined

  constructor(options: WatchedExporterOptions) {
    this.#options = options
  }

  export(spans: ReadableSpan[], done: (result: ExportResult) => void): void {
    this.#options.exporter.export(spans, (result) => {
      this.#options.onOver(spans.length)
      this.#note(spans.length, result)
      done(result)
    })
  }

  forceFlush(): Promise<void> {
    return this.#options.exporter.forceFlush?.() ?? Promise.resolve()
  }

  shutdown(): Promise<void> {
    return this.#options.exporter.shutdown()
  }

  #note(spans: number, { code, error }: ExportResult): void {
    const { endpoint, log, onLost } = this.#options
    if (code === ExportResultCode.SUCCESS) {
      if (this.#lost !== undefined) log.info({ endpoint, lost_spans: this.#lost }, 'traces arrive again')
      this.#lost = undefined
      return
    }
    if (this.#lost === undefined)
      log.warn({ endpoint, reason: error?.message || 'no answer' }, 'traces do not arrive')
    this.#lost = (this.#lost ?? 0) + spans
    onLost(spans)
  }
}
