import { type Aggregator, Gauge, Registry } from 'prom-client'
import { BoundCounter } from './bound-counter.ts'
import { BoundHistogram } from './bound-histogram.ts'
import { tenantMetrics } from './tenant-metrics.ts'
import { usageMetrics } from './usage-metrics.ts'

/** Seconds, from a tokenize call to a generation of half an hour; prom-client's own buckets stop at 10 s. */
const durations = [
  0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30, 45, 60, 90, 120, 180, 240, 600,
  1800,
]
/** Seconds; what the router adds is far below the durations of requests. */
const overheads = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1]
const shares = [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1]
/** Seconds between two tokens. */
const gaps = [0.001, 0.0025, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 10]

/**
 * Every metric of the router, on a registry of its own so that two routers fit into one process.
 *
 * Labels are bounded by configuration: routes are patterns, models are those the workers list, workers are those of the
 * pool. A client can never make a series.
 *
 * Of several processes, counters and histograms are added up. A gauge says how it is merged: what counts things is added
 * up as well, what is a view of a worker shows the worst view that any process has.
 */
export function createMetrics() {
  const registry = new Registry()
  const named = (name: string) => `vllm_router_${name}`
  const counter = <const L extends readonly string[]>(name: string, help: string, ...labelNames: L) =>
    new BoundCounter({ registry, name: named(name), help, labelNames })
  const gauge = <L extends string>(aggregator: Aggregator, name: string, help: string, ...labelNames: L[]) =>
    new Gauge({ registers: [registry], name: named(name), help, labelNames, aggregator })
  const histogram = <const L extends readonly string[]>(
    name: string,
    help: string,
    buckets: readonly number[],
    ...labelNames: L
  ) => new BoundHistogram({ registry, name: named(name), help, buckets, labelNames })

  return {
    registry,
    ...tenantMetrics({ counter, gauge }),
    reloadSuccess: gauge(
      'min',
      'config_reload_success',
      'Whether the configuration that was read last is in force.',
    ),
    reloadTime: gauge(
      'max',
      'config_reload_timestamp_seconds',
      'When a configuration was last taken over, or the start.',
    ),
    certificateExpiry: gauge(
      'min',
      'tls_certificate_expiry_timestamp_seconds',
      'When the certificate expires that the listener shows.',
      'listener',
    ),
    processed: counter(
      'processed_requests_total',
      'Requests sent to the worker, each attempt counted.',
      'worker',
    ),
    duration: histogram(
      'generate_duration_seconds',
      'From accepting a request to the last byte of its answer, all attempts.',
      durations,
      'route',
    ),
    activeWorkers: gauge('min', 'active_workers', 'Workers that can take a request now.'),
    workerHealth: gauge(
      'min',
      'worker_health',
      'Whether the probes find the worker healthy: 1 or 0.',
      'worker',
    ),
    workerBusy: gauge(
      'max',
      'worker_busy',
      'Whether the worker refuses work because it is busy, and stands back: 1 or 0.',
      'worker',
    ),
    workerRetries: counter(
      'worker_retries_total',
      'Attempts at the worker after another one had failed or refused the request.',
      'worker',
    ),
    workerRefusals: counter(
      'worker_refusals_total',
      'Answers of the worker that said it was busy: 429, 503.',
      'worker',
    ),
    workerWaiting: gauge(
      'sum',
      'worker_waiting_requests',
      'Requests on the worker that have shown no sign of life yet.',
      'worker',
    ),
    workerQuiet: gauge(
      'max',
      'worker_quiet_seconds',
      'How long requests have waited on the worker without any sign of life from it; 0 where none waits.',
      'worker',
    ),
    workerFirstToken: gauge(
      'max',
      'worker_first_token_seconds',
      'Time to the first token of streams within the last minute, from sending the request to the worker.',
      'worker',
      'percentile',
    ),
    engineRequests: gauge(
      'max',
      'worker_engine_requests',
      "The engine's own count of running and waiting requests, those of others included, when it was last read.",
      'worker',
      'state',
    ),
    kvCacheUsage: gauge(
      'max',
      'worker_kv_cache_usage',
      "Share of the engine's KV cache in use, 0 to 1, when it was last read.",
      'worker',
    ),
    loadAge: gauge('max', 'worker_load_age_seconds', "Age of the engine's own figures.", 'worker'),
    running: gauge('sum', 'running_requests', 'Requests in flight on the worker.', 'worker'),
    breakerState: gauge(
      // Once its numbers are in the order of severity: process-samples.ts.
      'max',
      'cb_state',
      'Circuit breaker of the worker: 0 closed, 1 open, 2 half open.',
      'worker',
    ),
    outcomes: counter(
      'cb_outcomes_total',
      'Attempts by outcome, judged at the end of the response: success, failure, neutral.',
      'worker',
      'outcome',
    ),
    transitions: counter(
      'cb_state_transitions_total',
      'Changes of state of the breaker.',
      'worker',
      'from',
      'to',
    ),
    cacheHits: counter(
      'cache_hits_total',
      'Selections of a worker known to hold enough of the prompt. Only policies that know of caches count.',
    ),
    cacheMisses: counter(
      'cache_misses_total',
      'Selections where no worker was known to hold enough of the prompt.',
    ),
    expectedShare: histogram(
      'expected_cached_share',
      'Share of a prompt that the chosen worker was believed to hold. Only policies that know of caches count.',
      shares,
    ),
    requests: counter('requests_total', 'Finished client requests.', 'route', 'status'),
    errors: counter(
      'request_errors_total',
      'Errors that the router itself answered or logged.',
      'route',
      'error_type',
    ),
    retries: counter('retries_total', 'Attempts after the first.', 'route'),
    retriesExhausted: counter(
      'retries_exhausted_total',
      'Requests that failed although another attempt might have helped.',
      'route',
    ),
    backoff: histogram(
      'retry_backoff_duration_seconds',
      'Pauses before a further attempt.',
      durations,
      'attempt',
    ),
    fallbacks: counter(
      'model_fallbacks_total',
      'Requests that another model was asked to answer, by the model asked before it.',
      'from',
      'to',
    ),
    decisions: counter(
      'policy_decisions_total',
      'Workers chosen by the selection policy, and why in a word.',
      'policy',
      'worker',
      'reason',
    ),
    panicSelections: counter(
      'panic_selections_total',
      'Requests sent to a worker whose probes time out, because fewer than half of the pool passes its probes.',
    ),
    firstToken: histogram(
      'time_to_first_token_seconds',
      'From accepting a request to its first token.',
      durations,
      'model',
    ),
    tokenGap: histogram('inter_token_latency_seconds', 'Between two tokens of a stream.', gaps, 'model'),
    tokens: counter(
      'tokens_total',
      'Tokens by kind, from the usage that workers report: prompt, completion, cached.',
      'model',
      'kind',
    ),
    estimatedTokens: counter(
      'estimated_tokens_total',
      'Completion tokens of streams without usage, counted by their events; part of tokens_total.',
      'model',
    ),
    ...usageMetrics(registry),
    streamsEnded: counter('streams_ended_total', 'Streams that had begun, by what ended them.', 'reason'),
    queueDepth: gauge('sum', 'queue_depth', 'Requests that wait for a slot.'),
    queueWait: histogram('queue_wait_seconds', 'Time that requests waited for a slot.', durations),
    queueClassDepth: gauge('sum', 'queue_class_depth', 'Requests that wait for a slot, by class.', 'class'),
    queueClassWait: histogram(
      'queue_class_wait_seconds',
      'Time that requests waited for a slot, by their class.',
      durations,
      'class',
    ),
    queueShed: counter(
      'queue_shed_total',
      'Requests that lost their place in the full queue to another one, by their own class.',
      'class',
    ),
    rejected: counter('rejected_total', 'Requests that were turned away before any attempt.', 'reason'),
    bufferedBytes: gauge('sum', 'buffered_bytes', 'Bytes that the bodies of requests take up.'),
    overhead: histogram(
      'overhead_seconds',
      'Time the router itself took before the request left for a worker.',
      overheads,
    ),
    processes: gauge('sum', 'processes', 'Processes of the router that serve requests.'),
    processRestarts: counter(
      'process_restarts_total',
      'Processes that ended by themselves and were started anew.',
    ),
    residentMemory: gauge('sum', 'process_resident_memory_bytes', 'Memory of the router that is in RAM.'),
    eventLoopLag: gauge(
      'max',
      'event_loop_lag_seconds',
      'Longest time since the last scrape for which a process was busy without a pause.',
    ),
    logDropped: counter('log_lines_dropped_total', 'Lines of the log that were lost since nobody read them.'),
    spansDropped: counter(
      'trace_spans_dropped_total',
      'Spans that never arrived: too many waited, or their receiver did not take them.',
      'reason',
    ),
    discoveryAge: gauge(
      'max',
      'discovery_age_seconds',
      'Time since there was contact with the source of workers; what it found last is used all the same.',
      'source',
    ),
    discoveryWorkers: gauge(
      'min',
      'discovery_workers',
      'Workers of the pool that the source names.',
      'source',
    ),
    discoveryErrors: counter(
      'discovery_errors_total',
      'Times that the source could not be asked or understood.',
      'source',
    ),
    buildInfo: gauge(
      'first',
      'build_info',
      'Always 1; what runs here.',
      'version',
      'runtime',
      'runtime_version',
    ),
  }
}

export type Metrics = ReturnType<typeof createMetrics>
