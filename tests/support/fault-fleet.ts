/** One router, one healthy worker that serves every model, and one faulty worker for each model. */

import { workersReady } from './failure-books.ts'
import { allFaults, type Fault } from './faults.ts'
import { type RouterProcess, startRouter } from './router-process.ts'
import type { Scope } from './scope.ts'
import { type ScriptedWorker, startScriptedWorker } from './scripted-worker.ts'
import { answer } from './wire.ts'

export interface FaultFleet {
  /** Workers in all. */
  readonly size: number
  readonly router: RouterProcess
  readonly healthy: ScriptedWorker
  /** The worker with that fault, the only one beside the healthy one that serves `modelOf` the same. */
  faulty(fault: Fault, key: string): ScriptedWorker
  modelOf(fault: Fault, key: string): string
}

/** After its first case the router leaves such a worker alone for a while: it needs one for each of them. */
const strikesOnce = ({ refuses, answers }: Fault): boolean => refuses || answers === 429 || answers === 503

/** @param keys names of the cases of one fault */
export async function startFaultFleet(
  keys: readonly string[],
  args: readonly string[],
  t: Scope,
): Promise<FaultFleet> {
  const modelOf = (fault: Fault, key: string) =>
    (strikesOnce(fault) ? `${fault.name} ${key}` : fault.name).replaceAll(' ', '-')
  const faulty = new Map<string, ScriptedWorker>()
  for (const fault of allFaults) {
    for (const key of strikesOnce(fault) ? keys : ['']) {
      const model = modelOf(fault, key)
      // One that refuses must have been seen healthy first: see `crash`.
      const worker = await startScriptedWorker(fault.refuses ? undefined : fault, { model, t })
      faulty.set(model, worker)
    }
  }
  const healthy = await startScriptedWorker(undefined, { t })
  const data = [...faulty.keys()].map((id) => ({ id, object: 'model', created: 0, owned_by: 'vllm' }))
  healthy.route('GET /v1/models', answer(200, JSON.stringify({ object: 'list', data })))
  const workers = [...faulty.values(), healthy]
  const urls = workers.map(({ url }) => url)
  const router = await startRouter({ args: ['--worker-urls', ...urls, ...args], t })
  await workersReady(router, workers.length)
  return {
    size: workers.length,
    router,
    healthy,
    modelOf,
    faulty(fault, key) {
      const worker = faulty.get(modelOf(fault, key))
      if (worker === undefined) throw new Error(`no worker for ${fault.name}`)
      return worker
    },
  }
}
