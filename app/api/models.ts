import type { Handler } from 'hono'
import { modelNotAllowed, modelNotFound, RouterError } from '../../http/errors.ts'
import type { Incoming } from '../../http/incoming.ts'
import { keyFields } from '../relay/headers.ts'
import type { GatewayContext } from '../request/context.ts'
import type { HeaderFields } from '../upstream/http-client.ts'
import { hidesModels, type ModelDirectory } from '../workers/model-directory.ts'
import type { Pool } from '../workers/pool.ts'
import type { ModelEntry } from '../workers/worker.ts'
import { decoded } from './development-routes.ts'
import type { ModelNames } from './model-names.ts'

export interface ListModelsOptions {
  readonly pool: Pool
  readonly directory: ModelDirectory
  readonly names: ModelNames
  /** The key that a client presents may be one for workers. */
  readonly keysForWorkers: boolean
}

/**
 * The models of all workers merged, from what each listed last: it works while any of them is down. Workers that list
 * none without a key are asked with the client's own. Behind the answer, the lists are read again: whoever looks for an
 * adapter that was loaded or unloaded a moment ago asks more than once.
 */
export function listModels(options: ListModelsOptions): Handler<GatewayContext> {
  const { pool, directory, names, keysForWorkers } = options
  return async (c) => {
    void directory.lookAgain()
    const models = merged(pool)
    if (keysForWorkers && pool.workers.some(hidesModels)) {
      const lists = await directory.hiddenLists(keyOf(c.env.incoming.headers))
      for (const entry of lists.flatMap((list) => list ?? []))
        if (!models.has(entry.id)) models.set(entry.id, entry)
      if (models.size === 0 && lists.includes(undefined)) throw keyWanted()
    }
    const data = [...models.values(), ...names.entries(models)]
    const allowed = c.get('tenant')?.models
    return c.json({
      object: 'list',
      data: allowed === undefined ? data : data.filter(({ id }) => allowed.includes(id)),
    })
  }
}

function keyOf(headers: Incoming['headers']): HeaderFields {
  return headers.filter(([name]) => keyFields.has(name.toLowerCase()))
}

function keyWanted(): RouterError {
  const message = 'The workers list their models only to those who present a key that they know.'
  return new RouterError('invalid_api_key', message)
}

export function oneModel(pool: Pool, names: ModelNames): Handler<GatewayContext> {
  return (c) => {
    // Names of models may hold slashes: all behind the route's own path is the name.
    const id = decoded(c.req.path).slice('/v1/models/'.length)
    const allowed = c.get('tenant')?.models
    if (allowed?.includes(id) === false) throw modelNotAllowed(id, allowed)
    const models = merged(pool)
    for (const alias of names.entries(models)) models.set(alias.id, alias)
    const entry = models.get(id)
    if (entry === undefined)
      throw allowed === undefined ? modelNotFound(id, models.keys()) : modelNotAllowed(id, allowed)
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
