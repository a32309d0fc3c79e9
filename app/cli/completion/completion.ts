import { selectionPolicies } from '../../../policies/selection/index.ts'
import { settings } from '../../config/settings.ts'
import { isSwitch, type OwnFlagName, ownFlags, verbNames, verbOf } from '../verbs.ts'
import { bashScript } from './bash.ts'
import { fishScript } from './fish.ts'
import { zshScript } from './zsh.ts'

const scripts = { bash: bashScript, zsh: zshScript, fish: fishScript } as const

export type Shell = keyof typeof scripts

/** What may follow a flag. */
export type Follows =
  | { readonly kind: 'nothing' | 'anything' | 'file' | 'directory' }
  | { readonly kind: 'words'; readonly words: readonly string[] }

export interface CompletedFlag {
  /** With its dashes. */
  readonly name: string
  readonly help: string
  readonly follows: Follows
}

export interface CompletedVerb {
  readonly name: string
  readonly help: string
  /** That may stand behind it. */
  readonly words: readonly string[]
  readonly flags: readonly CompletedFlag[]
}

/** Everything that a shell can be told: made of the tables of verbs and of settings, so that it cannot grow old. */
export interface CompletedProgram {
  readonly name: string
  readonly verbs: readonly CompletedVerb[]
  /** Flags that all verbs have. */
  readonly flags: readonly CompletedFlag[]
}

/** A script for the shell, which completes verbs, flags and their values. It ends with a newline. */
export function completionScript(shell: Shell): string {
  return scripts[shell](completedProgram())
}

export function completedProgram(): CompletedProgram {
  const verbs = verbNames.map((name) => {
    const { help, words = [], flags } = verbOf(name)
    return { name, help, words, flags: flags.map(ownFlag) }
  })
  return { name: 'vllm-router', verbs, flags: [...settings.flatMap(settingFlags), ...general] }
}

const general: readonly CompletedFlag[] = [
  { name: '--help', help: 'the usual flags', follows: { kind: 'nothing' } },
  { name: '--help-all', help: 'all flags', follows: { kind: 'nothing' } },
  { name: '--version', help: 'print the version', follows: { kind: 'nothing' } },
]

function ownFlag(name: OwnFlagName): CompletedFlag {
  const kind = isSwitch(name) ? 'nothing' : 'anything'
  return { name: `--${name}`, help: ownFlags[name].help, follows: { kind } }
}

function settingFlags({ flag, help, key, kind }: (typeof settings)[number]): CompletedFlag[] {
  const values = key === 'policy' ? Object.keys(selectionPolicies) : kind.values
  const follows = followsOf(kind.takes, kind.argument, values)
  const positive = { name: `--${flag}`, help, follows }
  const isNegatable = kind.takes === 'nothing' || kind.takes === 'perhaps a value'
  if (!isNegatable) return [positive]
  return [positive, { name: `--no-${flag}`, help: `not: ${help}`, follows: { kind: 'nothing' } }]
}

function followsOf(takes: string, argument: string, values: readonly string[] | undefined): Follows {
  if (takes === 'nothing' || takes === 'perhaps a value') return { kind: 'nothing' }
  if (values !== undefined) return { kind: 'words', words: values }
  if (argument === '<file>') return { kind: 'file' }
  return { kind: argument === '<dir>' ? 'directory' : 'anything' }
}
