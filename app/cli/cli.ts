import type { ReadFile } from '../config/config-file.ts'
import type { Environment } from '../config/environment.ts'
import { nearest } from '../config/kinds/nearest.ts'
import { type ConfigProblem, formatProblems, quoted } from '../config/problem.ts'
import { processVerb } from '../runtime/own-command.ts'
import type { Shell } from './completion/completion.ts'
import type { Terminal } from './live/terminal.ts'
import type { Operation } from './operate.ts'
import { verbNames, verbOf } from './verbs.ts'

/** What a command line asks for. `argv` holds the flags only, for `loadConfig`. */
export type Command =
  | { readonly verb: 'serve'; readonly argv: readonly string[] }
  /** One of several processes: the router starts itself so. */
  | { readonly verb: 'process'; readonly argv: readonly string[] }
  | { readonly verb: 'check-config' | 'print-config' | 'health'; readonly argv: readonly string[] }
  /** `argv` begins with the words. */
  | { readonly verb: 'operate'; readonly operation: Operation; readonly argv: readonly string[] }
  | { readonly verb: 'doctor' | 'hash-key'; readonly argv: readonly string[] }
  | { readonly verb: 'completion'; readonly shell: Shell }
  | { readonly verb: 'schema' }
  | { readonly verb: 'help'; readonly all: boolean }
  | { readonly verb: 'version' }
  | { readonly verb: 'wrong'; readonly faults: readonly ConfigProblem[] }

/** Reads a command line without the program's name. A first word that is no flag is the verb; none means `serve`. */
export function parseCommand(argv: readonly string[]): Command {
  const [first] = argv
  const named = first !== undefined && !first.startsWith('-')
  const flags = named ? argv.slice(1) : argv
  if (first === processVerb) return { verb: 'process', argv: flags }
  const asked = (...names: string[]) => flags.some((word) => names.includes(word))
  if (asked('--help-all')) return { verb: 'help', all: true }
  if (asked('--help', '-h') || (named && first === 'help')) return { verb: 'help', all: asked('--all') }
  if (asked('--version', '-V', '-v') || (named && first === 'version')) return { verb: 'version' }
  if (!named) return { verb: 'serve', argv: flags }
  const verb = verbNames.find((name) => name === first)
  switch (verb) {
    case undefined:
      return { verb: 'wrong', faults: [unknownWord('verb', first, verbNames)] }
    case 'serve':
    case 'check-config':
    case 'print-config':
    case 'health':
    case 'doctor':
    case 'hash-key':
      return { verb, argv: flags }
    case 'completion':
      return parseCompletion(flags)
    case 'help':
    case 'version':
      // Taken above.
      return { verb: 'version' }
    case 'config':
      if (flags[0] === 'schema') return { verb: 'schema' }
      return { verb: 'operate', operation: verb, argv: flags }
    default:
      return { verb: 'operate', operation: verb, argv: flags }
  }
}

function parseCompletion([shell = '', ...rest]: readonly string[]): Command {
  const shells = verbOf('completion').words ?? []
  if (rest.length === 0 && shells.includes(shell)) return { verb: 'completion', shell: shell as Shell }
  return { verb: 'wrong', faults: [unknownWord('shell', [shell, ...rest].join(' '), shells)] }
}

function unknownWord(name: string, word: string, allowed: readonly string[]): ConfigProblem {
  const meant = nearest(word, allowed)
  const hint = word.includes('://')
    ? 'workers are given with --worker-urls'
    : meant && `did you mean ${meant}?`
  const problem = word === '' ? 'got nothing' : `got ${quoted(word)}`
  return { name, origin: 'command line', problem, allowed: allowed.join(', '), hint }
}

export interface CommandContext {
  readonly version: string
  readonly env: Environment
  /** Writes to standard output / standard error; the text ends with a newline. */
  readonly out: (text: string) => void
  readonly err: (text: string) => void
  /** All of standard input. */
  readonly stdin?: () => Promise<string>
  readonly cwd?: string
  readonly readFile?: ReadFile
  readonly fetch?: typeof globalThis.fetch
  readonly terminal?: Terminal | undefined
  /** Ends what would go on for ever. */
  readonly stop?: AbortSignal
}

/**
 * Does everything but serve, and returns the exit code: 0, 2 for a wrong configuration, 1 for a router that is not healthy.
 * What a verb needs is loaded for it alone: most of the time of a short one is the loading of code.
 */
export async function runCommand(
  command: Exclude<Command, { verb: 'serve' | 'process' }>,
  context: CommandContext,
): Promise<number> {
  const { version, out, err } = context
  switch (command.verb) {
    case 'help': {
      const { helpText } = await import('./help.ts')
      out(helpText({ version, all: command.all }))
      return 0
    }
    case 'version':
      out(`vllm-router ${version}\n`)
      return 0
    case 'completion': {
      const { completionScript } = await import('./completion/completion.ts')
      out(completionScript(command.shell))
      return 0
    }
    case 'schema': {
      const { configJsonSchema } = await import('../config/json-schema.ts')
      out(`${JSON.stringify(configJsonSchema(), null, 2)}\n`)
      return 0
    }
    case 'wrong':
      err(`${formatProblems(command.faults)}\n`)
      return 2
    case 'health': {
      const { askHealth } = await import('./health.ts')
      return askHealth(command.argv, context)
    }
    case 'doctor': {
      const { doctor } = await import('./doctor/doctor.ts')
      return doctor(command.argv, context)
    }
    case 'hash-key': {
      const { hashKey } = await import('./hash-key.ts')
      return hashKey(command.argv, context)
    }
    case 'operate': {
      const { operate } = await import('./operate.ts')
      return operate({ ...context, operation: command.operation, argv: command.argv })
    }
    case 'check-config':
    case 'print-config': {
      const { checkConfig } = await import('./check-config.ts')
      return checkConfig(command, context)
    }
  }
}
