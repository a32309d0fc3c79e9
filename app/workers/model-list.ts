import type { AskResult } from './ask.ts'
import type { ModelEntry, Worker } from './worker.ts'

/**
 * Takes over what a worker has answered to GET /v1/models with the router's own key, or none. True when that settles the
 * matter for a while: it is a list, or the worker wants a key. What it listed last stays otherwise.
 */
export function takeModelList(worker: Worker, answer: AskResult): boolean {
  if ('failed' in answer) return false
  worker.modelsLocked = wantsKey(answer.status)
  if (worker.modelsLocked) {
    // It may have got some of them since.
    worker.forgetLacking()
    return true
  }
  worker.keyRefused = false
  const entries = answer.status === 200 ? parseModelList(answer.body) : undefined
  if (entries === undefined) return false
  worker.listModels(entries)
  return true
}

/**
 * The key presented, or none, is not the one that the worker wants. Not 403: that is said of what is asked for, by servers
 * that know the key, and by proxies.
 */
export function wantsKey(status: number): boolean {
  return status === 401
}

/** Undefined for what is no list. */
export function parseModelList(text: string): readonly ModelEntry[] | undefined {
  try {
    const { data } = JSON.parse(text) as { data?: unknown }
    return Array.isArray(data)
      ? data.filter((entry): entry is ModelEntry => typeof entry?.id === 'string')
      : undefined
  } catch {
    return undefined
  }
}

/** The names that these workers list, each once. */
export function listedModels(workers: readonly Worker[]): ReadonlySet<string> {
  return new Set(workers.flatMap(({ models }) => [...(models ?? [])]))
}

/** Tokens of a worker's context for a model, as it lists it. */
export function contextOf({ modelEntries }: Pick<Worker, 'modelEntries'>, model: string): number | undefined {
  const tokens = modelEntries.find(({ id }) => id === model)?.max_model_len
  return typeof tokens === 'number' ? tokens : undefined
}
