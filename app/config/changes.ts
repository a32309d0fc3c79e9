import type { KeyLists } from './key-entries.ts'
import type { ConfigProblem } from './problem.ts'
import { type Config, type SettingKey, settingOf, settings } from './settings.ts'

/** What differs between two configurations, in the order of the settings. */
export function changedSettings(before: Config, after: Config): SettingKey[] {
  return settings
    .filter(({ key }) => JSON.stringify(before[key]) !== JSON.stringify(after[key]))
    .map(({ key }) => key)
}

/** The same as operators write it: flags, and the key of a file that has no flag. */
export function changedNames(before: Config, after: Config): string[] {
  const flags = changedSettings(before, after).map((key) => `--${settingOf(key).flag}`)
  const list = (key: keyof KeyLists, name: string) =>
    JSON.stringify(before[key]) === JSON.stringify(after[key]) ? [] : [name]
  return [...flags, ...list('keys', 'keys'), ...list('fileKeys', 'what is in --keys-file')]
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
    sameList(before.middleware, after.middleware) &&
    sameList(Object.entries(before.selectionPolicies).flat(), Object.entries(after.selectionPolicies).flat())
  if (sameCode) return problems
  const problem = 'code cannot change while the router runs'
  return [...problems, { name: 'middleware', origin: 'reload', problem, hint: 'restart the router for it' }]
}

function sameList(a: readonly unknown[], b: readonly unknown[]): boolean {
  return a.length === b.length && a.every((one, index) => one === b[index])
}
