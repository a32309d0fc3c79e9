/** One router, one healthy worker that serves every model, and one faulty worker for each model. */

import { pause } from './deadline.ts'
import { gap, type Healthy } from './fault.ts'
import type { Fault } from './faults.ts'
import type { RecordedRequest } from './recorder.ts'
import { routerOver } from './router-over.ts'
import type { RouterProcess } from './router-process.ts'
import type { Scope } from './scope.ts'
import { type Chooser, type ScriptedWorker, startScriptedWorker } from './scripted-worker.ts'
import { answer, type Script, until } from './wire.ts'

export interface FaultFleetOptions {
  readonly faults: readonly Fault[]
  /** Names of the cases of one fault. */
  readonly keys: readonly string[]
  /** Further flags of the router. */
  readonly args?: readonly string[]
  readonly t: Scope
}

export interface FaultFleet {
  readonly router: RouterProcess
  /** Workers in all. */
  readonly size: number
  /** The worker with that fault, the only one beside the healthy one that serves `modelOf` the same. */
  faulty(fault: Fault, key: string): ScriptedWorker
  modelOf(fault: Fault, key: string): string
  /** The client has content of the request with that id: what is to break a stream that has begun breaks it now. */
  contentSeen(id: string): void
}

/** After its first case the router leaves such a worker alone for a while: it needs one for each of them. */
const strikesOnce = ({ refuses, hangs, answers }: Fault): boolean =>
  refuses || hangs || answers === 429 || answers === 503

const usual = [
  ...['--first-token-timeout-secs', '1', '--stream-idle-timeout-secs', '1', '--max-event-bytes', '64KiB'],
  // A worker gets the same fault again and again; breakers, probes and budgets have tests of their own.
  ...[
    '--disable-circuit-breaker',
    '--health-check-interval-secs',
    '60',
    '--retry-budget-min-per-sec',
    '1000',
  ],
]

/**
 * Where a fault leaves some time for the content to arrive, the worker waits until the client has it: on a busy machine
 * both would come together, the router would still be able to save the request, and the test would show something else.
 */
function strikeOnceSeen(fault: Fault, seen: (id: string) => PromiseLike<void>) {
  return (request: RecordedRequest, worker: Healthy): Script | undefined => {
    const script = fault.script(request, worker)
    if (!request.stream || fault.stream !== 'after-commit') return script
    return script?.map((step) => (step === gap ? until(seen(request.header('x-request-id') ?? '')) : step))
  }
}

/** Milliseconds for which a case goes on asking, and between two questions. */
const patienceMs = 15_000
const pauseMs = 100

/**
 * Counts the tries of a case to meet its faulty worker. On a busy machine the worker takes so long to fail that the router
 * doubts it, and leaves it alone for 5 s.
 */
export async function* tries(): AsyncGenerator<number> {
  const deadline = performance.now() + patienceMs
  for (let count = 0; performance.now() < deadline; count++) {
    if (count > 2) await pause(pauseMs)
    yield count
  }
}

/** Each request for `modelOf(fault, key)` goes to the faulty or to the healthy worker, in turn. */
export async function startFaultFleet({
  faults,
  keys,
  args = [],
  t,
}: FaultFleetOptions): Promise<FaultFleet> {
  const modelOf = (fault: Fault, key: string) =>
    (strikesOnce(fault) ? `${fault.name} ${key}` : fault.name).replaceAll(' ', '-')
  const faulty = new Map<string, ScriptedWorker>()
  const moments = new Map<string, PromiseWithResolvers<void>>()
  function momentOf(id: string): PromiseWithResolvers<void> {
    const moment = moments.get(id) ?? Promise.withResolvers<void>()
    moments.set(id, moment)
    return moment
  }
  for (const fault of faults) {
    for (const key of strikesOnce(fault) ? keys : ['']) {
      const model = modelOf(fault, key)
      // One that refuses must have been seen healthy before: the test crashes it.
      const script = strikeOnceSeen(fault, (id) => momentOf(id).promise)
      const behaviour: Chooser = (request) => script(request, worker)
      const worker = await startScriptedWorker(fault.refuses ? undefined : behaviour, { model, t })
      faulty.set(model, worker)
    }
  }
  const healthy = await startScriptedWorker(undefined, { t })
  const data = [...faulty.keys()].map((id) => ({ id, object: 'model', created: 0, owned_by: 'vllm' }))
  healthy.route('GET /v1/models', answer(200, JSON.stringify({ object: 'list', data })))
  const workers = [...faulty.values(), healthy]
  const router = await routerOver(workers, { args: [...usual, ...args], t })
  return {
    size: workers.length,
    router,
    modelOf,
    contentSeen: (id) => momentOf(id).resolve(),
    faulty(fault, key) {
      const worker = faulty.get(modelOf(fault, key))
      if (worker === undefined) throw new Error(`no worker for ${fault.name}`)
      return worker
    },
  }
}
