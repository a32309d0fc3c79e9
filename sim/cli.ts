/** The flags of the simulated server. */
import { parseArgs } from 'node:util'
import type { Fault } from './fault.ts'
import { parseFault } from './fault-parser.ts'
import type { SimOptions } from './options.ts'

export interface Command {
  options: Partial<SimOptions>
  faults: Fault[]
  /** Number of servers. */
  fleet: number
  /** At SIGTERM and SIGINT, let requests in progress end first. */
  graceful: boolean
  help: boolean
}

export const usage = `Simulated vLLM server: vLLM's HTTP API with invented words, no model and no GPU.

usage: sim [--port 8000] [--host 127.0.0.1] [--model NAME]... [--fleet N]

  --host ADDRESS         where to listen (127.0.0.1)
  --port N               port, 0 for a free one (8000)
  --model NAME           served model, may be repeated (facebook/opt-350m)
  --fleet N              N servers on consecutive ports, worker-1 to worker-N (1)
  --worker-id ID         sent as X-Worker-Id (worker-1)
  --ttft-ms N            time to the first token (0)
  --token-ms N           time per output token (0: all at once)
  --prefill-token-ms N   time per prompt token that is not in the prefix cache (0)
  --jitter F             spread of these times, 0 to 1 (0)
  --max-concurrent N     requests at the same time, others queue (unlimited)
  --max-queued N         length of that queue, then 503 (unlimited)
  --max-model-len N      prompt plus output in tokens, then 400 (unlimited)
  --no-prefix-cache      report no cached tokens
  --api-key KEY          require this bearer token on /v1 and /v2
  --seed N               seed of text, jitter and faults (1)
  --graceful             at SIGTERM, stop listening and let requests in progress end (cut them)
  --fault FAULT          JSON or short name such as reset:after-head, may be repeated
  --help                 this text

Faults can be changed while it runs: POST, GET, DELETE /sim/fault, or per request with the header x-sim-fault.
`

const flags = {
  host: { type: 'string' },
  port: { type: 'string' },
  model: { type: 'string', multiple: true },
  fleet: { type: 'string' },
  'worker-id': { type: 'string' },
  'ttft-ms': { type: 'string' },
  'token-ms': { type: 'string' },
  'prefill-token-ms': { type: 'string' },
  jitter: { type: 'string' },
  'max-concurrent': { type: 'string' },
  'max-queued': { type: 'string' },
  'max-model-len': { type: 'string' },
  'no-prefix-cache': { type: 'boolean' },
  'api-key': { type: 'string' },
  seed: { type: 'string' },
  graceful: { type: 'boolean' },
  fault: { type: 'string', multiple: true },
  help: { type: 'boolean', short: 'h' },
} as const

/** Reads the flags. Throws an Error whose message says which one is wrong and why. */
export function parseCommand(args: readonly string[]): Command {
  const { values } = parseArgs({ args: [...args], options: flags, strict: true })
  const number = (name: keyof typeof values, least: number, most = Number.MAX_SAFE_INTEGER, whole = true) => {
    const text = values[name]
    if (text === undefined) return undefined
    const value = Number(text)
    if (text === '' || !(value >= least && value <= most) || (whole && !Number.isInteger(value))) {
      throw new RangeError(
        `--${name}: must be a${whole ? ' whole' : ''} number from ${least} to ${most}, got ${text}`,
      )
    }
    return value
  }
  const options = {
    port: number('port', 0, 65_535) ?? 8000,
    host: values.host,
    model: values.model,
    id: values['worker-id'],
    ttftMs: number('ttft-ms', 0, undefined, false),
    tokenMs: number('token-ms', 0, undefined, false),
    prefillTokenMs: number('prefill-token-ms', 0, undefined, false),
    jitter: number('jitter', 0, 1, false),
    maxConcurrent: number('max-concurrent', 1),
    maxQueued: number('max-queued', 0),
    maxModelLen: number('max-model-len', 1),
    prefixCache: !values['no-prefix-cache'],
    apiKey: values['api-key'],
    seed: number('seed', 0),
  }
  return {
    options: Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)),
    faults: (values.fault ?? []).map(parseFault),
    fleet: number('fleet', 1, 1000) ?? 1,
    graceful: values.graceful ?? false,
    help: values.help ?? false,
  }
}
