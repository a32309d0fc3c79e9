import type { Config } from '../../config/settings.ts'
import type { ConfigView } from '../../operations/router-control.ts'
import type { AskResult } from '../../workers/ask.ts'
import type { WorkerState } from '../../workers/worker-state.ts'

/** One thing that is wrong, and what to do about it. */
export interface Finding {
  /** A worker, a listener, a setting. */
  readonly about: string
  readonly problem: string
  readonly remedy: string
}

/** What a check came to: what is wrong, nothing at all, or a text: why there was nothing to look at. */
export type Verdict = readonly Finding[] | string

export interface Check {
  /** One or two words. */
  readonly name: string
  /** What holds when nothing is found. */
  readonly right: string
  look(facts: Facts): Verdict
}

/** What all checks look at; asked once. */
export interface Facts {
  readonly config: Config
  readonly env: Readonly<Record<string, string | undefined>>
  readonly versions: { readonly node?: string; readonly bun?: string }
  /** Of this program. */
  readonly version: string
  /** Undefined: the router that is asked runs elsewhere. */
  readonly ports: readonly PortFacts[] | undefined
  /** Connections that a process here may have. */
  readonly connectionLimit: number
  /** When the certificates expire that the settings name for the listeners, by setting: milliseconds since 1970. */
  readonly certificates: readonly { readonly about: string; readonly expiresAt: number }[]
  readonly router: RouterFacts
  readonly workers: readonly WorkerFacts[]
  /** Sources of workers that could not be asked. */
  readonly sourceFaults: readonly Finding[]
}

export interface PortFacts {
  /** The flag that sets it. */
  readonly flag: 'port' | 'prometheus-port'
  /** As it is written for people: `127.0.0.1:8080`. */
  readonly address: string
  /** Why it cannot be had; undefined when it can. */
  readonly fault: string | undefined
  /** A router answers there. */
  readonly isRouter: boolean
}

/** What an operations listener says. */
export interface RouterFacts {
  readonly url: string
  /** Why nobody answers there; undefined when somebody does. */
  readonly silent: string | undefined
  /** Status and text of a refusal of the admin routes. */
  readonly refused: { readonly status: number; readonly message: string } | undefined
  readonly workers: readonly WorkerState[]
  readonly config: ConfigView | undefined
  readonly metrics: { readonly status: number; readonly text: string } | undefined
}

/** One worker, asked from here as the router asks it. */
export interface WorkerFacts {
  readonly url: string
  /** Of its host, as DNS says; none when DNS does not know it. */
  readonly addresses: readonly string[]
  readonly health: AskResult
  readonly models: AskResult
  readonly metrics: AskResult
  readonly version: AskResult
  /** Milliseconds by which its clock is before ours, and how far that may be wrong; undefined: it told no time. */
  readonly clock: { readonly aheadMs: number; readonly doubtMs: number } | undefined
}

/** The body of a 200. */
export function bodyOf(answer: AskResult): string | undefined {
  return 'failed' in answer || answer.status !== 200 ? undefined : answer.body
}

/** `status 404`, or why there was no answer. */
export function resultOf(answer: AskResult): string {
  return 'failed' in answer ? answer.failed.reason : `status ${answer.status}`
}

export function isWell({ health }: WorkerFacts): boolean {
  return !('failed' in health) && health.status >= 200 && health.status < 300
}
