import { parseModelList } from '../../workers/model-list.ts'
import { remedyFor } from '../../workers/remedy.ts'
import { bodyOf, type Check, type Facts, type Finding, isWell, resultOf, type WorkerFacts } from './facts.ts'

/** Looks at each worker by itself. */
function each(look: (worker: WorkerFacts, facts: Facts) => Finding | undefined): Check['look'] {
  return (facts) =>
    facts.workers.length === 0
      ? 'no workers are known'
      : facts.workers.flatMap((worker) => look(worker, facts) ?? [])
}

/** The same for those that answer: that others do not is said once. */
function eachWell(look: (worker: WorkerFacts, facts: Facts) => Finding | undefined): Check['look'] {
  const lookAtAll = each(look)
  return (facts) => {
    const workers = facts.workers.filter(isWell)
    return workers.length === 0 ? 'no worker answers' : lookAtAll({ ...facts, workers })
  }
}

/** Keys are another check. */
function isRefused(worker: WorkerFacts): boolean {
  const { models } = worker
  return !('failed' in models) && (models.status === 401 || models.status === 403)
}

export const reach: Check = {
  name: 'workers',
  right: 'every worker answers and speaks the protocol of vLLM',
  look: each((worker, { config }) => {
    const { url, health, models } = worker
    if (!isWell(worker)) {
      const problem = `GET ${config.healthCheckEndpoint}: ${resultOf(health)}`
      return { about: url, problem, remedy: remedyFor(resultOf(health)) ?? 'its own log says why' }
    }
    if (isRefused(worker) || parseModelList(bodyOf(models) ?? '') !== undefined) return undefined
    const said = bodyOf(models) === undefined ? resultOf(models) : 'no list of models'
    return {
      about: url,
      problem: `GET /v1/models: ${said}; this is no OpenAI-compatible server`,
      remedy:
        'is it vLLM that listens there? Host, port and path of the URL must lead to its API, without /v1',
    }
  }),
}

export const workerKey: Check = {
  name: 'worker key',
  right: 'every worker takes the key of the router, or wants none',
  look: eachWell((worker, { config }) => {
    if (!isRefused(worker)) return undefined
    const said = resultOf(worker.models)
    return config.apiKey === undefined
      ? {
          about: worker.url,
          problem: `it wants a key: GET /v1/models without one is ${said}`,
          remedy: 'give the router the key of the workers: --api-key, better VLLM_ROUTER_API_KEY',
        }
      : {
          about: worker.url,
          problem: `it refuses the key of --api-key: GET /v1/models is ${said}`,
          remedy:
            'the router has one key for all workers: start this one with the same --api-key as the others',
        }
  }),
}

export const workerMetrics: Check = {
  name: 'worker metrics',
  right: 'the metrics of every worker can be read',
  look: eachWell((worker) => {
    const text = bodyOf(worker.metrics)
    if (text?.includes('vllm:')) return undefined
    const said = text === undefined ? resultOf(worker.metrics) : 'nothing of vLLM in it'
    return {
      about: worker.url,
      problem: `GET /metrics: ${said}; its load is unknown, and a hung engine is noticed late`,
      remedy: 'vLLM serves /metrics on the port of its API: let whatever stands before it pass that route on',
    }
  }),
}

/** Milliseconds of difference that nobody notices. */
const tolerableMs = 5000

export const clock: Check = {
  name: 'clock',
  right: `the clocks of workers and of this machine differ by less than ${tolerableMs / 1000} s`,
  look({ workers }) {
    const timed = workers.flatMap(({ url, clock }) => (clock === undefined ? [] : [{ url, ...clock }]))
    if (timed.length === 0) return 'no worker told its time (header Date)'
    const off = timed.filter(({ aheadMs, doubtMs }) => Math.abs(aheadMs) - doubtMs > tolerableMs)
    const isOurs = timed.length > 1 && off.length === timed.length && oneDirection(off)
    if (isOurs) {
      const problem = `its clock is ${behind(-Math.min(...off.map(({ aheadMs }) => aheadMs)))} those of all workers`
      return [{ about: 'this machine', problem, remedy: timeKeeping }]
    }
    return off.map(({ url, aheadMs }) => ({
      about: url,
      problem: `its clock is ${behind(aheadMs)} that of this machine`,
      remedy: timeKeeping,
    }))
  },
}

const timeKeeping =
  'have that machine keep time (chrony, systemd-timesyncd); until then logs and traces of both do not fit together'

function oneDirection(off: readonly { readonly aheadMs: number }[]): boolean {
  return off.every(({ aheadMs }) => aheadMs > 0) || off.every(({ aheadMs }) => aheadMs < 0)
}

function behind(aheadMs: number): string {
  return `${Math.round(Math.abs(aheadMs) / 1000)} s ${aheadMs < 0 ? 'behind' : 'before'}`
}
