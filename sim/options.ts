/** Everything that can be set on one simulated server. Times are in milliseconds of real time. */
export interface SimOptions {
  /** Address to listen on. Default 127.0.0.1. */
  host: string
  /** Port to listen on; 0 picks a free one. Default 0. */
  port: number
  /** Sent as `X-Worker-Id` with every answer. Default `worker-1`. */
  id: string
  /** Names of the served models, the first is the default one. Default `facebook/opt-350m`. */
  model: string | readonly string[]
  /** Bearer token required on `/v1` and `/v2` paths. Default none. */
  apiKey: string | undefined
  /** Time from leaving the queue to the first output token. Default 0: at once. */
  ttftMs: number
  /** Time between output tokens. Default 0: all in one burst. */
  tokenMs: number
  /** Time added to the first token for each prompt token that the prefix cache does not hold. Default 0. */
  prefillTokenMs: number
  /** Spread of the times above, 0 to 1: 0.2 means 80% to 120%. Seeded. Default 0. */
  jitter: number
  /** Requests generated at the same time; others queue in order of arrival. Default unlimited. */
  maxConcurrent: number
  /** Length of that queue; a request beyond it gets 503. Default unlimited. */
  maxQueued: number
  /** Seed of text, jitter and the probability of faults. Default 1. */
  seed: number
  /** Simulate the prefix cache and report `cached_tokens`. Default true. */
  prefixCache: boolean
  /** Size of the simulated KV cache in blocks of 16 tokens. Default 8192. */
  kvBlocks: number
  /** Longest prompt plus output in tokens; more gets 400. Default unlimited. */
  maxModelLen: number
  /** Streams get status and headers when the request arrives, not with the first token. Default true, as vLLM does. */
  headersBeforePrefill: boolean
  /** Idle connections are closed after this time. Default 5000, as uvicorn does; 0 never. */
  keepAliveTimeoutMs: number
  /** Keep the `X-Request-Id`s of all received and all completed requests for `stats()`. Default false. */
  recordRequests: boolean
  /** Called instead of "drop every socket and stop listening" by the fault `die`. Default none. */
  onDie: (() => void) | undefined
}

/** Options with every default filled in and the models as a list that is never empty. */
export interface SimSettings extends SimOptions {
  models: readonly [string, ...string[]]
}

const defaults: SimOptions = {
  host: '127.0.0.1',
  port: 0,
  id: 'worker-1',
  model: 'facebook/opt-350m',
  apiKey: undefined,
  ttftMs: 0,
  tokenMs: 0,
  prefillTokenMs: 0,
  jitter: 0,
  maxConcurrent: Number.POSITIVE_INFINITY,
  maxQueued: Number.POSITIVE_INFINITY,
  seed: 1,
  prefixCache: true,
  kvBlocks: 8192,
  maxModelLen: Number.POSITIVE_INFINITY,
  headersBeforePrefill: true,
  keepAliveTimeoutMs: 5000,
  recordRequests: false,
  onDie: undefined,
}

/** Fills in the defaults. Throws a RangeError that names the first option with an impossible value. */
export function resolveOptions(given: Partial<SimOptions> = {}): SimSettings {
  const options = { ...defaults, ...given }
  const [first, ...others] = typeof options.model === 'string' ? [options.model] : options.model
  if (first === undefined) throw new RangeError('model: at least one model name is needed')
  for (const name of ['ttftMs', 'tokenMs', 'prefillTokenMs', 'keepAliveTimeoutMs', 'maxQueued'] as const) {
    if (!(options[name] >= 0)) throw new RangeError(`${name}: must be 0 or more, got ${options[name]}`)
  }
  if (!(options.maxConcurrent >= 1)) {
    throw new RangeError(`maxConcurrent: must be 1 or more, got ${options.maxConcurrent}`)
  }
  if (!(options.jitter >= 0 && options.jitter <= 1)) {
    throw new RangeError(`jitter: must be between 0 and 1, got ${options.jitter}`)
  }
  return { ...options, models: [first, ...others] }
}
