/** One router, one healthy worker that serves every model, and one faulty worker for each model. */

import { type Fault, allFaults } from './faults.ts'
import { type RouterProcess, startRouter } from './router-process.ts'
import { awaitActive } from './router-books.ts'
import type { Scope } from './scope.ts'
import { type ScriptedWorker, startScriptedWorker } from './scripted-worker.ts'
import { answer } from './wire.ts'

export interface FaultFleet {
  readonly router: RouterProcess
  readonly healthy: ScriptedWorker
  /** The worker with that fault, the only one beside the healthy one that serves `modelOf` the same. */
  faulty(fault: Fault, key: string): ScriptedWorker
  modelOf(fault: Fault, key: string): string
}

/**
 * A fault that refuses connections needs a worker for each of its cases: it is found out by the first.
 * @param keys names of the cases of one fault
 */
export async function startFaultFleet(
  keys: readonly string[],
  args: readonly string[],
  t: Scope,
): Promise<FaultFleet> {
  const modelOf = ({ name, refuses }: Fault, key: string) =>
    (refuses ? `${name} ${key}` : name).replaceAll(' ', '-')
  const faulty = new Map<string, ScriptedWorker>()
  for (const fault of allFaults) {
    for (const key of fault.refuses ? keys : ['']) {
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
  await awaitActive(router, workers.length)
  return {
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
