import type { MiddlewareEntry } from './extensions.ts'
import { keyLists, shownKeys } from './key-entries.ts'
import type { ConfigProblem } from './problem.ts'
import { type Config, type SettingKey, settings } from './settings.ts'

/** What differs between two configurations, in the order of the settings. */
export function changedSettings(before: Config, after: Config): SettingKey[] {
  return settings
    .filter(({ key }) => JSON.stringify(before[key]) !== JSON.stringify(after[key]))
    .map(({ key }) => key)
}

/** Names of tenants that are told of one kind of change. */
const mostTold = 20

/** What has changed in the lists of keys, as operators are told it: by the names of tenants. */
export function changedKeys(before: Config, after: Config) {
  return keyLists.flatMap((list) => {
    const [old, now] = [before[list], after[list]]
    if (JSON.stringify(old) === JSON.stringify(now)) return []
    const known = new Map((old ?? []).map((entry) => [entry.name, JSON.stringify(entry)]))
    const next = new Map((now ?? []).map((entry) => [entry.name, JSON.stringify(entry)]))
    const told = [
      ['added', [...next.keys()].filter((name) => !known.has(name))],
      ['removed', [...known.keys()].filter((name) => !next.has(name))],
      ['changed', [...next.keys()].filter((name) => known.has(name) && known.get(name) !== next.get(name))],
    ] as const
    const words = told
      .filter(([, names]) => names.length > 0)
      .map(
        ([what, names]) =>
          `; ${what}: ${names.slice(0, mostTold).join(', ')}${names.length > mostTold ? ', ...' : ''}`,
      )
    const setting = list === 'keys' ? 'keys' : 'what is in --keys-file'
    return [{ setting, before: shownKeys(old), after: shownKeys(now) + words.join('') }]
  })
}

/** The changes that a running router cannot take over; code is one of them. */
export function restartNeeded(before: Config, after: Config): ConfigProblem[] {
  const changed = new Set(changedSettings(before, after))
  const problems = settings
    .filter(({ key, restart }) => restart === true && changed.has(key))
    .map(({ key, flag, kind }) => ({
      name: `--${flag}`,
      origin: 'reload',
      problem: `cannot change while the router runs: it is ${kind.show(before[key])}, and was to be ${kind.show(after[key])}`,
      hint: 'restart the router for it',
    }))
  const sameCode =
    sameList(before.middleware.flatMap(codeOf), after.middleware.flatMap(codeOf)) &&
    sameList(Object.entries(before.selectionPolicies).flat(), Object.entries(after.selectionPolicies).flat())
  if (sameCode) return problems
  const problem = 'code cannot change while the router runs'
  return [...problems, { name: 'middleware', origin: 'reload', problem, hint: 'restart the router for it' }]
}

/** Entries with a place are made anew with each configuration. */
function codeOf(entry: MiddlewareEntry): unknown[] {
  return typeof entry === 'function' ? ['after', entry] : [entry.position, entry.middleware]
}

function sameList(a: readonly unknown[], b: readonly unknown[]): boolean {
  return a.length === b.length && a.every((one, index) => one === b[index])
}
