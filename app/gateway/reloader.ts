import { changedKeys, changedSettings, restartNeeded } from '../config/changes.ts'
import { keyEntries, shownKeys } from '../config/key-entries.ts'
import { ConfigError, type ConfigProblem } from '../config/problem.ts'
import { type Config, type NamedSetting, type SettingKey, settingOf, settings } from '../config/settings.ts'
import type { ConfigView, ReloadResult } from '../operations/router-control.ts'
import type { Log } from '../telemetry/logger.ts'

/** Reads the configuration anew: all of it, or what is wrong with it. */
export type ReadConfig = () => Promise<
  | { readonly ok: true; readonly config: Config }
  | { readonly ok: false; readonly faults: readonly ConfigProblem[] }
>

/** Says which settings name files that are others than before. */
type Apply = () => readonly SettingKey[] | Promise<readonly SettingKey[]>

export interface ReloaderOptions {
  /** In force at the start. */
  readonly config: Config
  readonly log: Log
  /** Undefined: a program has the configuration. */
  readonly read: ReadConfig | undefined
  /** More that keeps a configuration from being taken over. */
  readonly check?: ((before: Config, after: Config) => readonly ConfigProblem[]) | undefined
  /**
   * Makes what another configuration needs; the function returned takes it over.
   * @throws ConfigError, TypeError where it cannot be had
   */
  readonly prepare: (next: Config) => Apply | Promise<Apply>
  readonly onResult: (ok: boolean) => void
}

/**
 * Takes a changed configuration over while the router runs: all of it or nothing. What is wrong is said, with file, line
 * and column, and the configuration before it stays in force.
 */
export class Reloader {
  readonly #options: ReloaderOptions
  #config: Config
  #last: ReloadResult | null = null
  /** Why the configuration that was read last is not in force; undefined: it is. */
  #refused: ReloadResult | undefined
  /** One after the other: each sees what the one before has left. */
  #queue: Promise<unknown> = Promise.resolve()

  constructor(options: ReloaderOptions) {
    this.#options = options
    this.#config = options.config
  }

  get config(): Config {
    return this.#config
  }

  view(): ConfigView {
    const shown = settings.map((entry) => [entry.flag, shownValue(entry, this.#config)] as const)
    const keys = shownKeys(keyEntries(this.#config))
    return { settings: { ...Object.fromEntries(shown), keys }, last_reload: this.#last }
  }

  /** @param cause what has led to it, for the log */
  reload(cause: string): Promise<ReloadResult> {
    return this.#next(cause, async () => {
      const result = await this.#readAnew()
      this.#refused = result.ok ? undefined : result
      return result
    })
  }

  /** Reads the files anew that the configuration in force names; the configuration itself stays. */
  renew(cause: string): Promise<ReloadResult> {
    return this.#next(cause, () => this.#takeOver(this.#config))
  }

  #next(cause: string, make: () => Promise<ReloadResult>): Promise<ReloadResult> {
    const result = this.#queue.then(async () => this.#tell(cause, await make()))
    this.#queue = result.catch(() => {})
    return result
  }

  async #readAnew(): Promise<ReloadResult> {
    const { read } = this.#options
    const loaded = await read?.().catch((error: unknown) => ({
      ok: false as const,
      faults: [unexpected(error)],
    }))
    if (loaded === undefined || !loaded.ok) return failed(loaded?.faults ?? [])
    return this.#takeOver(loaded.config)
  }

  #tell(cause: string, result: ReloadResult): ReloadResult {
    const { log, onResult } = this.#options
    const { ok, changed, problems } = result
    // What is wrong with the configuration is so still when only its files were read anew.
    this.#last = ok ? (this.#refused ?? result) : result
    onResult(this.#last.ok)
    if (!ok) log.error({ cause, problems }, 'configuration not reloaded: the one before stays in force')
    else if (changed.length > 0) log.info({ cause, changed }, 'configuration reloaded')
    else log.info({ cause }, 'configuration read: nothing has changed')
    return result
  }

  async #takeOver(next: Config): Promise<ReloadResult> {
    const before = this.#config
    const { check = () => [], prepare } = this.#options
    const problems = [...restartNeeded(before, next), ...check(before, next)]
    if (problems.length > 0) return failed(problems)
    let renewed: readonly SettingKey[]
    try {
      const apply = await prepare(next)
      renewed = await apply()
    } catch (error) {
      return failed(error instanceof ConfigError ? error.faults : [unexpected(error)])
    }
    this.#config = next
    const keys = new Set([...changedSettings(before, next), ...renewed])
    const changes = [...keys].map(settingOf).map((entry) => ({
      setting: `--${entry.flag}`,
      before: shownValue(entry, before),
      after: shownValue(entry, next),
    }))
    changes.push(...changedKeys(before, next))
    const changed = changes.map(({ setting }) => setting)
    return { at: new Date().toISOString(), ok: true, changed, changes, problems: [] }
  }
}

function shownValue({ key, kind, secret }: NamedSetting, config: Config): string {
  const value = config[key]
  const isSet = Array.isArray(value) ? value.length > 0 : value !== undefined
  return secret === true && isSet ? 'set, not shown' : kind.show(value)
}

function failed(faults: readonly ConfigProblem[]): ReloadResult {
  const problems = faults.map(({ name, origin, problem, allowed, hint }) =>
    [`${name} (${origin}): ${problem}`, allowed === undefined ? undefined : `allowed: ${allowed}`, hint]
      .filter((part) => part !== undefined && part !== '')
      .join('; '),
  )
  return { at: new Date().toISOString(), ok: false, changed: [], changes: [], problems }
}

function unexpected(error: unknown): ConfigProblem {
  return { name: 'reload', origin: 'reload', problem: error instanceof Error ? error.message : String(error) }
}
