import type { Handler } from 'hono'
import { modelNotFound } from '../../middleware/errors.ts'
import { decoded } from '../development-routes.ts'
import type { GatewayContext } from '../gateway-context.ts'
import type { Pool } from '../workers/pool.ts'
import type { ModelEntry } from '../workers/worker.ts'

/** The models of all workers merged, from what each listed last: it works while any of them is down. */
export function listModels(pool: Pool): Handler<GatewayContext> {
  return (c) => c.json({ object: 'list', data: [...merged(pool).values()] })
}

export function oneModel(pool: Pool): Handler<GatewayContext> {
  return (c) => {
    // Names of models may hold slashes: all behind the route's own path is the name.
    const id = decoded(c.req.path).slice('/v1/models/'.length)
    const entry = merged(pool).get(id)
    if (entry === undefined) throw modelNotFound(id)
    return c.json(entry)
  }
}

function merged(pool: Pool): Map<string, ModelEntry> {
  const models = new Map<string, ModelEntry>()
  for (const { modelEntries } of pool.workers) {
    for (const entry of modelEntries) if (!models.has(entry.id)) models.set(entry.id, entry)
  }
  return models
}
