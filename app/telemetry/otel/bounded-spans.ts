import {
  BatchSpanProcessor,
  type ReadableSpan,
  type SpanExporter,
  type SpanProcessor,
} from '@opentelemetry/sdk-trace'
import type { Log } from '../logger.ts'
import { WatchedExporter } from './watched-exporter.ts'

/** Why a span is lost: too many waited, or the receiver did not take it. */
export type Loss = 'queue_full' | 'not_delivered'

export interface BoundedSpansOptions {
  readonly exporter: SpanExporter
  readonly log: Log
  /** For the log. */
  readonly endpoint: string
  /** Milliseconds for which spans are collected. */
  readonly batchMs: number
  /** Spans that wait or are on their way, at most. */
  readonly most: number
  readonly onLost: (loss: Loss, spans: number) => void
}

/** Sends spans in batches. What has not arrived is bounded, and what is lost is counted: the SDK drops it without a word. */
export class BoundedSpans implements SpanProcessor {
  readonly #processor: SpanProcessor
  readonly #most: number
  readonly #onLost: BoundedSpansOptions['onLost']
  /** Those that wait, and those on their way: the SDK may have several batches under way at a time. */
  #kept = 0

  constructor({ exporter, log, endpoint, batchMs, most, onLost }: BoundedSpansOptions) {
    const watched = new WatchedExporter({
      ...{ exporter, log, endpoint },
      onOver: (spans) => {
        this.#kept -= spans
      },
      onLost: (spans) => onLost('not_delivered', spans),
    })
    this.#processor = new BatchSpanProcessor({
      ...{ exporter: watched, scheduledDelayMillis: batchMs, maxQueueSize: most },
    })
    this.#most = most
    this.#onLost = onLost
  }

  onStart(): void {}

  onEnd(span: ReadableSpan): void {
    if (this.#kept >= this.#most) {
      this.#onLost('queue_full', 1)
      return
    }
    this.#kept += 1
    this.#processor.onEnd(span)
  }

  forceFlush(): Promise<void> {
    return this.#processor.forceFlush()
  }

  shutdown(): Promise<void> {
    return this.#processor.shutdown()
  }
}
