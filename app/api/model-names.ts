import type { Config } from '../config/settings.ts'
import type { Pool } from '../workers/pool.ts'
import type { ModelEntry } from '../workers/worker.ts'

/** One model behind an alias. */
interface Target {
  readonly model: string
  readonly weight: number
  /** What it is behind with its share: the one that is furthest behind is next. */
  credit: number
}

/**
 * The names that operators give to models: aliases, of which several targets share the requests, and the models that
 * answer in place of others.
 */
export class ModelNames {
  readonly #aliases = new Map<string, Target[]>()
  readonly #fallbacks = new Map<string, string[]>()

  constructor({ modelAlias, modelFallback }: Pick<Config, 'modelAlias' | 'modelFallback'>) {
    for (const entry of modelAlias) {
      const at = entry.indexOf('=')
      const [, model = '', weight = '1'] = /^(.*?)(?:@(\d+(?:\.\d+)?))?$/.exec(entry.slice(at + 1)) ?? []
      const targets = this.#aliases.get(entry.slice(0, at)) ?? []
      targets.push({ model, weight: Number(weight), credit: 0 })
      this.#aliases.set(entry.slice(0, at), targets)
    }
    for (const entry of modelFallback) {
      const [name = '', other = ''] = entry.split('=')
      this.#fallbacks.set(name, [...(this.#fallbacks.get(name) ?? []), other])
    }
  }

  /**
   * The model that a request for this name is for: the name itself, where it is no alias. Shares are kept exactly (smooth
   * weighted round robin); a target that no worker has is passed over as long as another is there.
   */
  target(name: string, pool: Pool): string {
    const targets = this.#targetsOf(name, pool)
    if (targets === undefined) return name
    const next = furthestBehind(targets)
    let sum = 0
    for (const target of targets) {
      target.credit += target.weight
      sum += target.weight
    }
    next.credit -= sum
    return next.model
  }

  /** What `target` would return now; nobody's share is counted. */
  nextTarget(name: string, pool: Pool): string {
    const targets = this.#targetsOf(name, pool)
    return targets === undefined ? name : furthestBehind(targets).model
  }

  #targetsOf(name: string, pool: Pool): readonly Target[] | undefined {
    const all = this.#aliases.get(name)
    if (all === undefined) return undefined
    const served = all.filter(({ model }) => pool.serves(model))
    return served.length > 0 ? served : all
  }

  isAlias(name: string): boolean {
    return this.#aliases.has(name)
  }

  /** Those that answer in its place, in order. */
  fallbacks(name: string): readonly string[] {
    return this.#fallbacks.get(name) ?? []
  }

  /** Aliases as `GET /v1/models` lists them: those of which a worker has a target. */
  entries(models: ReadonlyMap<string, ModelEntry>): ModelEntry[] {
    return [...this.#aliases].flatMap(([id, targets]) => {
      const first = targets.map(({ model }) => models.get(model)).find((entry) => entry !== undefined)
      return first === undefined ? [] : [{ ...first, id, root: first.id, parent: null }]
    })
  }
}

/** With one share more for each. */
function furthestBehind(targets: readonly Target[]): Target {
  let next = targets[0]!
  for (const target of targets) {
    if (target.credit + target.weight > next.credit + next.weight) next = target
  }
  return next
}
