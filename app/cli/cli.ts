import type { ReadFile } from '../config/config-file.ts'
import type { Environment } from '../config/environment.ts'
import { configJsonSchema } from '../config/json-schema.ts'
import { nearest } from '../config/kinds/nearest.ts'
import { loadConfig } from '../config/load-config.ts'
import { printConfig } from '../config/print-config.ts'
import { type ConfigProblem, formatProblems, quoted } from '../config/problem.ts'
import type { Config } from '../config/settings.ts'
import { workerTlsFaults } from '../config/worker-tls.ts'
import { processVerb } from '../runtime/own-command.ts'
import { helpText } from './help.ts'
import { type Operation, operate, operations } from './operate.ts'

/** What a command line asks for. `argv` holds the flags only, for `loadConfig`. */
export type Command =
  | { readonly verb: 'serve'; readonly argv: readonly string[] }
  /** One of several processes: the router starts itself so. */
  | { readonly verb: 'process'; readonly argv: readonly string[] }
  | { readonly verb: 'check-config' | 'print-config'; readonly argv: readonly string[] }
  | { readonly verb: 'health'; readonly argv: readonly string[]; readonly url: string | undefined }
  | { readonly verb: 'operate'; readonly operation: Operation; readonly argv: readonly string[] }
  | { readonly verb: 'schema' }
  | { readonly verb: 'help'; readonly all: boolean }
  | { readonly verb: 'version' }
  | { readonly verb: 'wrong'; readonly faults: readonly ConfigProblem[] }

const operationNames = Object.keys(operations) as Operation[]
const verbs = ['serve', 'help', 'version', 'health', 'check-config', 'print-config', ...operationNames]

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
  switch (first) {
    case 'serve':
    case 'check-config':
    case 'print-config':
      return { verb: first, argv: flags }
    case 'health':
      return parseHealth(flags)
    default: {
      if (first === 'config' && flags[0] === 'schema') return { verb: 'schema' }
      const operation = operationNames.find((name) => name === first)
      if (operation !== undefined) return { verb: 'operate', operation, argv: flags }
      return { verb: 'wrong', faults: [unknownVerb(first)] }
    }
  }
}

function unknownVerb(word: string): ConfigProblem {
  const meant = nearest(word, verbs)
  const hint = word.includes('://')
    ? 'workers are given with --worker-urls'
    : meant && `did you mean ${meant}?`
  return {
    name: 'verb',
    origin: 'command line',
    problem: `got ${quoted(word)}`,
    allowed: verbs.join(', '),
    hint,
  }
}

function parseHealth(flags: readonly string[]): Command {
  const at = flags.findIndex((word) => word === '--url' || word.startsWith('--url='))
  if (at < 0) return { verb: 'health', argv: flags, url: undefined }
  const inline = flags[at]?.startsWith('--url=')
  const written = inline ? flags[at]?.slice('--url='.length) : flags[at + 1]
  const argv = flags.toSpliced(at, inline ? 1 : 2)
  return { verb: 'health', argv, url: written ?? '' }
}

export interface CommandContext {
  readonly version: string
  readonly env: Environment
  /** Writes to standard output / standard error; the text ends with a newline. */
  readonly out: (text: string) => void
  readonly err: (text: string) => void
  readonly cwd?: string
  readonly readFile?: ReadFile
  readonly fetch?: typeof globalThis.fetch
}

/** Does everything but serve, and returns the exit code: 0, 2 for a wrong configuration, 1 for a router that is not healthy. */
export async function runCommand(
  command: Exclude<Command, { verb: 'serve' | 'process' }>,
  context: CommandContext,
): Promise<number> {
  const { version, out, err } = context
  switch (command.verb) {
    case 'help':
      out(helpText({ version, all: command.all }))
      return 0
    case 'version':
      out(`vllm-router ${version}\n`)
      return 0
    case 'schema':
      out(`${JSON.stringify(configJsonSchema(), null, 2)}\n`)
      return 0
    case 'wrong':
      err(`${formatProblems(command.faults)}\n`)
      return 2
    case 'health':
      return askHealth(command, context)
    case 'operate':
      return operate({ ...context, operation: command.operation, argv: command.argv })
    case 'check-config':
    case 'print-config': {
      const loaded = await loadConfig({ ...context, argv: command.argv })
      if (!loaded.ok) {
        err(`${formatProblems(loaded.faults)}\n`)
        return 2
      }
      if (command.verb === 'print-config') {
        out(printConfig(loaded.config, loaded.origins))
        return 0
      }
      const wrongFiles = workerTlsFaults(loaded.config)
      if (wrongFiles.length > 0) err(`${formatProblems(wrongFiles)}\n`)
      else out('ok\n')
      return wrongFiles.length > 0 ? 2 : 0
    }
  }
}

const healthTimeoutMs = 5000

/** Exit code 1 for everything but a healthy router, a wrong configuration included: container runtimes reserve 2. */
async function askHealth(
  { url, argv }: Extract<Command, { verb: 'health' }>,
  context: CommandContext,
): Promise<number> {
  const { out, err, fetch = globalThis.fetch } = context
  const loaded = await loadConfig({ ...context, argv })
  const asked = url === undefined ? undefined : parseHealthUrl(url)
  const faults = [...(loaded.ok ? [] : loaded.faults), ...(asked && 'fault' in asked ? [asked.fault] : [])]
  if (!loaded.ok || (asked && 'fault' in asked)) {
    err(`${formatProblems(faults)}\n`)
    return 1
  }
  const target = asked?.url ?? healthUrl(loaded.config)
  try {
    const response = await fetch(target, { redirect: 'manual', signal: AbortSignal.timeout(healthTimeoutMs) })
    const text = (await response.text()).trim()
    const write = response.ok ? out : err
    write(`${response.status} ${text}\n`)
    return response.ok ? 0 : 1
  } catch (error) {
    err(`no answer from ${target}: ${reason(error)}\n`)
    return 1
  }
}

function parseHealthUrl(written: string): { url: string } | { fault: ConfigProblem } {
  if (/^https?:\/\//.test(written) && URL.canParse(written)) {
    const url = new URL(written)
    if (url.pathname === '/') url.pathname = '/health'
    return { url: url.href }
  }
  const problem = written === '' ? 'got nothing' : `got ${quoted(written)}`
  const allowed = 'an http:// or https:// URL, with the path of another check if wanted'
  return { fault: { name: '--url', origin: 'flag --url', problem, allowed } }
}

function healthUrl({ host, port }: Config): string {
  const connectable = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host
  return `http://${connectable.includes(':') ? `[${connectable}]` : connectable}:${port}/health`
}

function reason(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
  return cause instanceof Error ? cause.message || cause.name : String(cause)
}
