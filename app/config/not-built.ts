import type { SettingKey } from './settings.ts'

interface NotBuilt {
  readonly key: SettingKey
  /** Only these values; without it, every value but the default. */
  readonly values?: readonly string[]
}

/**
 * Settings of the plan that this version does not obey yet: another value than the default is refused.
 * Whoever builds one deletes its line.
 */
export const notBuilt: readonly NotBuilt[] = [
  { key: 'policy', values: ['power_of_two'] },
  { key: 'policy', values: ['consistent_hash'] },
  { key: 'policy', values: ['rendezvous_hash'] },
  { key: 'policy', values: ['sticky_least_loaded'] },
  { key: 'policy', values: ['cache_aware'] },
  { key: 'cacheThreshold' },
  { key: 'balanceAbsThreshold' },
  { key: 'balanceRelThreshold' },
  { key: 'evictionInterval' },
  { key: 'maxTreeSize' },
  { key: 'intraNodeDataParallelSize' },
]

export function isNotBuilt(key: SettingKey, value: string): boolean {
  return notBuilt.some((line) => line.key === key && line.values?.includes(value))
}

/** Whether no value but the default works. */
export function isWhollyNotBuilt(key: SettingKey): boolean {
  return notBuilt.some((line) => line.key === key && line.values === undefined)
}
