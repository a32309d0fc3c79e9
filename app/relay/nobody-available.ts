import { modelNotFound, RouterError } from '../../http/errors.ts'
import { listedModels } from '../workers/model-list.ts'
import type { Pool } from '../workers/pool.ts'

/** The only worker that has what the request is about cannot take it. */
export function notAtHome(): RouterError {
  const message = 'the worker that has this response cannot take the request now'
  return new RouterError('no_available_worker', message, { retryAfter: 1 })
}

/** No worker can take a request for this model: why, by reasons, without addresses. */
export function nobodyAvailable(pool: Pool, model: string | undefined): RouterError {
  if (model !== undefined && !pool.mayServe(model)) return modelNotFound(model, listedModels(pool.workers))
  const why = [...pool.refusals(model)].map(([reason, count]) => `${count} ${reason.replaceAll('_', ' ')}`)
  const workers = why.length === 0 ? 'none is registered' : why.join(', ')
  return new RouterError('no_available_worker', `no worker can take the request now: ${workers}`, {
    retryAfter: pool.retryAfter(),
  })
}
