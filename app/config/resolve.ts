import * as v from 'valibot'
import { extensionSchemas, extensionsAllowed } from './extensions.ts'
import { clashes, type KeyLists, type PlacedEntry, type ReadEntries, readKeyEntries } from './key-entries.ts'
import { ownIssue } from './kinds/kind.ts'
import { nearest } from './kinds/nearest.ts'
import { type ConfigProblem, faultName, got, type Origin, type RawValue } from './problem.ts'
import { rules } from './rules.ts'
import {
  type Config,
  type ConfigInput,
  configSchema,
  type NamedSetting,
  type SettingKey,
  settingOf,
  settings,
} from './settings.ts'
import type { Tree } from './tree.ts'

/** Where the value of each setting came from. */
export type Origins = Readonly<Record<SettingKey, Origin>>

export interface Resolved {
  readonly config: Config
  readonly origins: Origins
  readonly faults: readonly ConfigProblem[]
}

const usual: Origin = { source: 'default', text: 'default' }

/**
 * Puts the sources on top of each other, first one wins, and checks everything: every given value, also one that
 * another source overrides (it would bite when that one is removed), then the settings together.
 * With faults, `config` has the defaults in place of what is wrong.
 */
export function resolve(sources: readonly (readonly RawValue[])[]): Resolved {
  const faults: ConfigProblem[] = []
  const wrong = new Set<string>()
  const winners = new Map<string, RawValue>()
  const lists = new Map<string, readonly PlacedEntry[]>()
  for (const raw of sources.flat()) {
    const found = isKeyTree(raw) ? checkKeys(raw, lists) : check(raw)
    faults.push(...found)
    if (found.length > 0) wrong.add(raw.key)
    if (!winners.has(raw.key)) winners.set(raw.key, raw)
  }
  const right = [...winners.values()].filter((raw) => !wrong.has(raw.key) && !isKeyTree(raw))
  const input = Object.fromEntries(right.map(({ key, value }) => [key, value])) as ConfigInput
  const parsed = v.parse(configSchema, input)
  const { middleware, selectionPolicies } = parsed
  // Key by key, so that a setting without a value is there too, as undefined.
  const values = Object.fromEntries(settings.map(({ key }) => [key, parsed[key]]))
  const listed = (key: string) => lists.get(key)?.flatMap(({ entry }) => entry ?? [])
  const keys: KeyLists = { keys: listed('keys'), fileKeys: listed('fileKeys') }
  const config = { ...values, middleware, selectionPolicies, ...keys } as Config
  const origins = Object.fromEntries(settings.map(({ key }) => [key, winners.get(key)?.origin ?? usual]))
  const resolved = applyImplied({ config, origins: origins as Origins, faults })
  faults.push(...together(resolved, wrong), ...clashes([...lists.values()].flat(), config))
  for (const value of Object.values(resolved.config)) Object.freeze(value)
  return { ...resolved, config: Object.freeze(resolved.config) }
}

function isKeyTree({ key }: RawValue): boolean {
  return key === 'keys' || key === 'fileKeys'
}

/** Puts what is right of a list of keys into `lists`. */
function checkKeys(
  { key, value }: RawValue,
  lists: Map<string, readonly PlacedEntry[]>,
): readonly ConfigProblem[] {
  const given = value as Tree | ReadEntries
  const { entries, faults } = 'entries' in given ? given : readKeyEntries(given)
  lists.set(key, entries)
  return faults
}

/** Settings that decide others: afterwards the other one alone tells the truth. */
function applyImplied(resolved: Resolved): Resolved {
  const { config, origins } = resolved
  if (!config.disableRetries) return resolved
  return {
    ...resolved,
    config: { ...config, retryMaxRetries: 1 },
    origins: { ...origins, retryMaxRetries: origins.disableRetries },
  }
}

function together({ config, origins }: Resolved, wrong: ReadonlySet<string>): ConfigProblem[] {
  const faults: ConfigProblem[] = []
  for (const rule of rules) {
    if (rule.keys.some((key) => wrong.has(key))) continue
    for (const { key, ...finding } of rule.check(config)) {
      const given = rule.keys.map((each) => origins[each]).filter(({ source }) => source !== 'default')
      const origin = [...new Set(given.map(({ text }) => text))].join(' and ') || usual.text
      const name = faultName(settingOf(key), given[0] ?? usual)
      const isHidden = given.some(({ isReference }) => isReference)
      faults.push(
        isHidden ? { name, origin, problem: 'got a value that is not shown' } : { name, origin, ...finding },
      )
    }
  }
  return faults
}

function check(raw: RawValue): ConfigProblem[] {
  if (raw.key === 'middleware' || raw.key === 'selectionPolicies') {
    if (v.is(extensionSchemas[raw.key], raw.value)) return []
    const { key, origin } = raw
    return [{ name: key, origin: origin.text, problem: got(raw.value), allowed: extensionsAllowed[raw.key] }]
  }
  const entry = settingOf(raw.key as SettingKey)
  const result = v.safeParse(entry.kind.schema, raw.value)
  return result.success ? [] : uniqueByText(result.issues.map((issue) => faultOf(entry, raw, issue)))
}

function faultOf(entry: NamedSetting, raw: RawValue, issue: v.BaseIssue<unknown>): ConfigProblem {
  const item = issue.path?.[0]
  const index = typeof item?.key === 'number' ? item.key : undefined
  const value = index === undefined ? raw.value : item?.value
  const origin = (index === undefined ? undefined : raw.itemOrigins?.[index]) ?? raw.origin
  const meant = typeof value === 'string' ? nearest(value.toLowerCase(), entry.kind.values ?? []) : undefined
  return {
    name: faultName(entry, origin),
    origin: origin.text,
    problem: got(value, entry.secret || raw.origin.isReference === true),
    allowed: index === undefined ? entry.kind.allowed : (entry.kind.item ?? entry.kind.allowed),
    hint: raw.origin.isReference ? undefined : issue.type === ownIssue ? issue.message : hintOf(meant),
  }
}

function hintOf(meant: string | undefined): string | undefined {
  return meant && `did you mean "${meant}"?`
}

function uniqueByText(faults: readonly ConfigProblem[]): ConfigProblem[] {
  return [...new Map(faults.map((fault) => [JSON.stringify(fault), fault])).values()]
}
