import * as v from 'valibot'
import { type Extensions, extensionSchemas } from './extensions.ts'
import type { KeyEntryInput, KeyLists } from './key-entries.ts'
import { environmentName, kebabCase, type Setting } from './kinds/setting.ts'
import { access } from './settings/access.ts'
import { admission } from './settings/admission.ts'
import { deadlines } from './settings/deadlines.ts'
import { discovery } from './settings/discovery.ts'
import { listeners } from './settings/listeners.ts'
import { logging } from './settings/logging.ts'
import { breaker, retries } from './settings/resilience.ts'
import { selection } from './settings/selection.ts'
import { tls } from './settings/tls.ts'
import { tracing } from './settings/tracing.ts'
import { usage } from './settings/usage.ts'
import { workers } from './settings/workers.ts'

/**
 * Every setting of the router, in the order of help and documentation. A new setting is one entry in one of these
 * groups: its flag, variable, file key, help, documentation row and checks follow from it.
 */
export const groups = [
  { title: 'Listeners', settings: listeners },
  { title: 'TLS of the listeners', settings: tls },
  { title: 'Workers', settings: workers },
  { title: 'Selection', settings: selection },
  { title: 'Admission', settings: admission },
  { title: 'Retries', settings: retries },
  { title: 'Circuit breaker', settings: breaker },
  { title: 'Deadlines and bounds', settings: deadlines },
  { title: 'Keys', settings: access },
  { title: 'Discovery', settings: discovery },
  { title: 'Usage', settings: usage },
  { title: 'Log', settings: logging },
  { title: 'Traces', settings: tracing },
] as const

const table = {
  ...listeners,
  ...tls,
  ...workers,
  ...selection,
  ...admission,
  ...retries,
  ...breaker,
  ...deadlines,
  ...access,
  ...discovery,
  ...usage,
  ...logging,
  ...tracing,
}

type Table = typeof table

export type SettingKey = keyof Table

/** The one configuration of a router: complete, checked, frozen. Units are in the names and in docs/configuration.md. */
export type Config = { readonly [K in SettingKey]: Table[K]['default'] } & Extensions & KeyLists

/** What the library takes: any part of a Config, each value also in the spelling of flags (`'64MiB'`, `'a,b'`). */
export type ConfigInput = {
  readonly [K in SettingKey]?: v.InferInput<Table[K]['kind']['schema']> | undefined
} & { readonly [K in keyof Extensions]?: Extensions[K] | undefined } & {
  readonly [K in keyof KeyLists]?: readonly KeyEntryInput[] | undefined
}

/** A setting with its names on all ways in. */
export interface NamedSetting extends Setting<unknown, unknown> {
  readonly key: SettingKey
  /** Without the dashes; also the key in files. */
  readonly flag: string
  readonly env: string
  readonly group: string
}

export const settings: readonly NamedSetting[] = groups.flatMap(({ title, settings }) =>
  Object.entries(settings as Readonly<Record<string, Setting<unknown, unknown>>>).map(([key, entry]) => ({
    ...entry,
    key: key as SettingKey,
    flag: kebabCase(key),
    env: environmentName(kebabCase(key)),
    group: title,
  })),
)

const byName = new Map(settings.flatMap((entry) => namesOf(entry).map((name) => [name, entry] as const)))
const byKey = new Map(settings.map((entry) => [entry.key, entry] as const))

function namesOf(entry: NamedSetting): readonly string[] {
  return [entry.flag, ...(entry.aliases ?? [])]
}

/** Every spelling that a flag may have, without the dashes. */
export const settingNames: readonly string[] = [...byName.keys()]

export function settingNamed(flag: string): NamedSetting | undefined {
  return byName.get(flag)
}

export function settingOf(key: SettingKey): NamedSetting {
  const entry = byKey.get(key)
  if (entry === undefined) throw new TypeError(`no setting ${key}`)
  return entry
}

/** The schema of a whole configuration: every key may be missing and then has its default. */
export const configSchema = v.object({
  ...Object.fromEntries(
    settings.map(({ key, kind, default: usual }) => [key, v.optional(kind.schema, usual)]),
  ),
  ...extensionSchemas,
}) as unknown as v.GenericSchema<ConfigInput, Config>
