import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http'
import {
  defaultResource,
  detectResources,
  type Resource,
  resourceAttributesEnvDetector,
  resourceFromAttributes,
  serviceNameEnvDetector,
} from '@opentelemetry/resources'
import { AlwaysOnSampler, TracerProvider } from '@opentelemetry/sdk-trace'
import { version } from '../../config/version.ts'
import type { RequestRecord } from '../../request/request-record.ts'
import type { RequestTrace } from '../../request/request-trace.ts'
import { type Clock, within } from '../../runtime/clock.ts'
import type { HeaderFields } from '../../upstream/http-client.ts'
import type { Log } from '../logger.ts'
import type { Tracer } from '../tracer.ts'
import { BoundedSpans, type Loss } from './bounded-spans.ts'
import { RequestSpans } from './request-spans.ts'
import { clientTraceIn } from './trace-context.ts'
import { KnownIds, newTraceId } from './trace-ids.ts'
import { SampledTrace, UnsampledTrace } from './traces.ts'

export interface OtelTracerOptions {
  /** URL that spans are posted to. */
  readonly endpoint: string
  /** Share of requests to be traced, 0 to 1. */
  readonly ratio: number
  /** Of requests: what the listener of the API speaks. */
  readonly scheme: 'http' | 'https'
  readonly log: Log
  readonly clock: Clock
  /** Called with each loss of spans. */
  readonly onLost: (loss: Loss, spans: number) => void
}

/** Milliseconds that spans are collected, and that one batch may take with all of its repetitions. */
const batchMs = 1000
const exportMs = 3000
/** Spans that wait, at most; what comes then is dropped. */
const mostWaiting = 2048
/** Milliseconds for the last spans, at the end. */
const farewellMs = 2000

/** Traces by the SDK of OpenTelemetry. Nothing of it is global: two gateways in one process do not meet. */
export class OtelTracer implements Tracer {
  readonly #provider: TracerProvider
  readonly #spans: RequestSpans
  readonly #clock: Clock
  #ratio: number

  constructor({ endpoint, ratio, scheme, log, clock, onLost }: OtelTracerOptions) {
    const exporter = new OTLPTraceExporter({ url: endpoint, timeoutMillis: exportMs })
    const spans = new BoundedSpans({ exporter, log, endpoint, batchMs, most: mostWaiting, onLost })
    const ids = new KnownIds()
    this.#clock = clock
    this.#ratio = ratio
    this.#provider = new TracerProvider({
      resource: resource(),
      // Who is sampled was decided when the request came; only those become spans.
      sampler: new AlwaysOnSampler(),
      idGenerator: ids,
      spanProcessors: [spans],
    })
    const tracer = this.#provider.getTracer('vllm-router', version)
    this.#spans = new RequestSpans({ tracer, ids, clock, scheme })
  }

  begin(headers: HeaderFields): RequestTrace | undefined {
    const client = clientTraceIn(headers)
    if (client.parent !== undefined) {
      const isSampled = (client.parent.traceFlags & 1) !== 0
      return isSampled ? new SampledTrace(client.parent.traceId, client) : undefined
    }
    return Math.random() < this.#ratio ? new SampledTrace(newTraceId(), client) : new UnsampledTrace(client)
  }

  end(record: RequestRecord): void {
    if (record.trace instanceof SampledTrace) this.#spans.write(record, record.trace)
  }

  sample(ratio: number): void {
    this.#ratio = ratio
  }

  async stop(): Promise<void> {
    // Whether they arrive has been said by the exporter.
    await within(this.#clock, farewellMs, this.#provider.shutdown()).catch(() => {})
  }
}

/** Who speaks; OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES go first. */
function resource(): Resource {
  const own = resourceFromAttributes({
    'service.name': 'vllm-router',
    'service.version': version,
    'service.instance.id': crypto.randomUUID(),
  })
  const said = detectResources({ detectors: [resourceAttributesEnvDetector, serviceNameEnvDetector] })
  return defaultResource().merge(own).merge(said)
}
