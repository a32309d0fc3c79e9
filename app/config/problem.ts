import type { NamedSetting } from './settings.ts'

/** Where a value came from. `text` is for people: `flag --port`, `file router.yaml:12:3 (port)`. */
export interface Origin {
  readonly source: 'flag' | 'environment' | 'file' | 'option' | 'default'
  readonly text: string
  /** The value came from a variable or a file that the configuration refers to, and may be a secret. */
  readonly isReference?: true
}

/** One thing that is wrong with a configuration. */
export interface ConfigProblem {
  /** What it is about: `--port`; for the library the key, `port`. */
  readonly name: string
  readonly origin: string
  /** `got "80a"` */
  readonly problem: string
  /** `a whole number from 0 to 65535` */
  readonly allowed?: string | undefined
  /** A whole clause: `did you mean "8080"?` */
  readonly hint?: string | undefined
}

/** A value as it was given, before any check. */
export interface RawValue {
  readonly key: string
  readonly value: unknown
  readonly origin: Origin
  /** Places of the items of a list, where the source knows them. */
  readonly itemOrigins?: readonly Origin[]
}

/** What one source gave. */
export interface Reading {
  readonly values: readonly RawValue[]
  readonly faults: readonly ConfigProblem[]
}

/** Thrown by the library; carries all faults, and says all of them in its message. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  readonly faults: readonly ConfigProblem[]

  constructor(faults: readonly ConfigProblem[]) {
    super(`the configuration is wrong\n${faultLines(faults)}`)
    this.faults = faults
  }
}

/** All faults for a terminal: a heading, then one aligned line each. */
export function formatProblems(faults: readonly ConfigProblem[]): string {
  const count = faults.length === 1 ? '1 fault' : `${faults.length} faults`
  return `vllm-router: ${count} in the configuration\n${faultLines(faults)}`
}

function faultLines(faults: readonly ConfigProblem[]): string {
  const width = Math.max(...faults.map(({ name }) => name.length))
  return faults.map((fault) => `  ${line(fault, width)}`).join('\n')
}

function line({ name, origin, problem, allowed, hint }: ConfigProblem, width: number): string {
  const parts = [problem]
  if (allowed !== undefined) parts.push(`allowed: ${allowed}`)
  if (hint !== undefined && hint !== '') parts.push(hint)
  return `${name.padEnd(width)} (${origin}): ${parts.join('; ')}`
}

/** How a setting is called in a fault: by flag on a command line, by key in a program. */
export function faultName(entry: Pick<NamedSetting, 'flag' | 'key'>, origin: Origin): string {
  return origin.source === 'option' ? entry.key : `--${entry.flag}`
}

const longest = 120

/** `got ...` for any value. Text is quoted, so that blanks and control characters show; keys are not shown. */
export function got(value: unknown, secret = false): string {
  if (value === undefined || value === null) return 'got nothing'
  if (secret && value !== '') return 'got a value that is not shown'
  return `got ${shown(value)}`
}

function shown(value: unknown): string {
  if (typeof value === 'string') return quoted(value)
  if (typeof value === 'function') return 'a function'
  if (Array.isArray(value)) return `[${value.map(shown).join(', ').slice(0, longest)}]`
  return typeof value === 'object' && value !== null ? 'a group of keys' : String(value)
}

export function quoted(text: string): string {
  const withoutPassword = text.replace(/^(\w*:?\/\/)?.*@/s, '$1***@')
  const cut = withoutPassword.length > longest ? `${withoutPassword.slice(0, longest)}...` : withoutPassword
  return JSON.stringify(cut)
}
