import { RouterError } from '../../http/errors.ts'
import { bodySchemas } from '../../middleware/schemas/index.ts'
import type { Pool } from '../workers/pool.ts'
import type { ModelEntry } from '../workers/worker.ts'
import { speechRoutes } from './known-routes.ts'

/** Routes on which vLLM answers a request without a model's name with the model that it was started with. */
const routes = new Set([...Object.keys(bodySchemas), ...speechRoutes])
// Of an older server, which has one model and takes no name.
routes.delete('/generate')

/**
 * The model that a request means which names none: that of the fleet, where all workers were started with the same.
 * Undefined where any worker will do.
 *
 * @throws RouterError `invalid_request` where it could mean several
 */
export function impliedModel(pool: Pool, method: string, path: string): string | undefined {
  if (method !== 'POST' || !routes.has(path)) return undefined
  let implied: string | undefined
  for (const { modelEntries } of pool.workers) {
    const own = modelEntries.find(isBase)?.id
    if (own === undefined || own === implied) continue
    if (implied !== undefined) throw several()
    implied = own
  }
  return implied
}

/** Adapters are no model to start with: they have a parent. The first entry is the name that vLLM uses by itself. */
function isBase({ parent }: ModelEntry): boolean {
  return parent === undefined || parent === null
}

function several(): RouterError {
  return new RouterError(
    'invalid_request',
    '`model` is missing, and several models are served here: name one that GET /v1/models lists.',
    { param: 'model' },
  )
}
