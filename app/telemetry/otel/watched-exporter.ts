import { type ExportResult, ExportResultCode } from '@opentelemetry/core'
import type { ReadableSpan, SpanExporter } from '@opentelemetry/sdk-trace'
import type { Log } from '../logger.ts'

/** Says that traces do not arrive once, and once that they arrive again: not with each batch. */
export class WatchedExporter implements SpanExporter {
  readonly #exporter: SpanExporter
  readonly #log: Log
  readonly #endpoint: string
  /** Spans lost since it began to fail; undefined while all is well. */
  #lost: number | undefined

  constructor(exporter: SpanExporter, log: Log, endpoint: string) {
    this.#exporter = exporter
    this.#log = log
    this.#endpoint = endpoint
  }

  export(spans: ReadableSpan[], done: (result: ExportResult) => void): void {
    this.#exporter.export(spans, (result) => {
      this.#note(spans.length, result)
      done(result)
    })
  }

  forceFlush(): Promise<void> {
    return this.#exporter.forceFlush?.() ?? Promise.resolve()
  }

  shutdown(): Promise<void> {
    return this.#exporter.shutdown()
  }

  #note(spans: number, { code, error }: ExportResult): void {
    const endpoint = this.#endpoint
    if (code === ExportResultCode.SUCCESS) {
      if (this.#lost !== undefined)
        this.#log.info({ endpoint, lost_spans: this.#lost }, 'traces arrive again')
      this.#lost = undefined
      return
    }
    if (this.#lost === undefined)
      this.#log.warn({ endpoint, reason: error?.message || 'no answer' }, 'traces do not arrive')
    this.#lost = (this.#lost ?? 0) + spans
  }
}
