import type { Kind } from './kind.ts'

/** One setting of the router: everything that flags, environment, file, help, documentation and checks need to know. */
export interface Setting<T, I> {
  readonly kind: Kind<T, I>
  readonly default: NoInfer<T>
  /** One short line: the effect. */
  readonly help: string
  readonly unit?: string
  /** What can go wrong with it. */
  readonly danger?: string
  /** Other spellings of the flag, kebab-case. */
  readonly aliases?: readonly string[]
  /** Shown by the short help. */
  readonly common?: true
  /** A running router cannot change it. */
  readonly restart?: true
  /** Never printed. */
  readonly secret?: true
}

export function setting<T, I>(definition: Setting<T, I>): Setting<T, I> {
  return definition
}

export const environmentPrefix = 'VLLM_ROUTER_'

/** `cbTimeoutDurationSecs` -> `cb-timeout-duration-secs` */
export function kebabCase(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
}

/** `cb-timeout-duration-secs` -> `VLLM_ROUTER_CB_TIMEOUT_DURATION_SECS` */
export function environmentName(flag: string): string {
  return environmentPrefix + flag.toUpperCase().replaceAll('-', '_')
}

/** The name of a setting as files may write it: kebab-case, snake_case and camelCase mean the same. */
export function fileKey(written: string): string {
  return kebabCase(written).replaceAll('_', '-')
}
