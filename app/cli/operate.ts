import type { Environment } from '../config/environment.ts'
import { loadConfig } from '../config/load-config.ts'
import { formatProblems } from '../config/problem.ts'
import type { Config } from '../config/settings.ts'
import type { ConfigView, ReloadResult } from '../operations/router-control.ts'
import type { RequestView } from '../request/request-view.ts'
import type { WorkerState } from '../workers/worker-state.ts'

/** Verbs that ask a running router something, or have it do something. `takes` is what stands behind the verb. */
export const operations = {
  workers: { takes: undefined, help: 'the workers of a running router, and how each is' },
  drain: { takes: '<worker>', help: 'a worker gets nothing new; what it has goes on' },
  undrain: { takes: '<worker>', help: 'it gets requests again' },
  add: { takes: '<url>', help: 'add a worker' },
  remove: { takes: '<worker>', help: 'take a worker out' },
  requests: { takes: undefined, help: 'the last requests: where each went and why' },
  reload: { takes: undefined, help: 'read the configuration anew' },
  config: { takes: undefined, help: 'the configuration in force' },
} as const

export type Operation = keyof typeof operations

export interface OperateOptions {
  readonly operation: Operation
  /** What stands behind the verb: the words, then the flags. */
  readonly argv: readonly string[]
  readonly env: Environment
  readonly out: (text: string) => void
  readonly err: (text: string) => void
  readonly fetch?: typeof globalThis.fetch | undefined
}

/** Flags of these verbs alone; all others are settings of the router, from which its address and its key follow. */
const ownFlags = ['url', 'json', 'failed', 'worker', 'model', 'status', 'slower-than-ms', 'limit'] as const
const switches: ReadonlySet<string> = new Set(['json', 'failed'])

type OwnFlags = Partial<Record<(typeof ownFlags)[number], string>>

const timeoutMs = 15_000

/** Does one of these verbs; resolves with the exit code: 0, 1 where the router says no or nothing, 2 for a wrong command. */
export async function operate(options: OperateOptions): Promise<number> {
  const { operation, env, out, err } = options
  const { words, own, settings } = split(options.argv)
  const { takes } = operations[operation]
  if ((takes === undefined) !== (words.length === 0) || words.length > 1) {
    err(`vllm-router ${operation}${takes === undefined ? ' takes no word' : ` ${takes}: exactly one`}\n`)
    return 2
  }
  const loaded = await loadConfig({ argv: settings, env })
  if (!loaded.ok) {
    err(`${formatProblems(loaded.faults)}\n`)
    return 2
  }
  const router = new RunningRouter(own.url ?? operationsUrl(loaded.config), loaded.config, options.fetch)
  try {
    return await perform(router, { operation, word: words[0] ?? '', own, out, err })
  } catch (error) {
    err(`${error instanceof Error ? error.message : String(error)}\n`)
    return 1
  }
}

function split(argv: readonly string[]): { words: string[]; own: OwnFlags; settings: string[] } {
  const firstFlag = argv.findIndex((word) => word.startsWith('-'))
  const words = argv.slice(0, firstFlag === -1 ? undefined : firstFlag)
  const rest = firstFlag === -1 ? [] : argv.slice(firstFlag)
  const own: OwnFlags = {}
  const settings: string[] = []
  for (let at = 0; at < rest.length; at++) {
    const [, name = '', inline] = /^--([\w-]+)(?:=(.*))?$/s.exec(rest[at]!) ?? []
    const flag = ownFlags.find((one) => one === name)
    if (flag === undefined) settings.push(rest[at]!)
    else own[flag] = inline ?? (switches.has(flag) ? 'true' : (rest[++at] ?? ''))
  }
  return { words, own, settings }
}

function operationsUrl({ prometheusHost: host, prometheusPort: port }: Config): string {
  const name = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host
  return `http://${name.includes(':') ? `[${name}]` : name}:${port}`
}

/** The operations listener of a router. */
class RunningRouter {
  readonly #url: string
  readonly #config: Config
  readonly #fetch: typeof globalThis.fetch

  constructor(url: string, config: Config, fetch: typeof globalThis.fetch = globalThis.fetch) {
    this.#url = url.replace(/\/+$/, '')
    this.#config = config
    this.#fetch = fetch
  }

  /** The JSON of the answer; an error says what the router says. 409 is an answer. */
  async ask<T>(method: string, path: string, body?: object): Promise<T> {
    const { adminApiKey } = this.#config
    const headers: Record<string, string> = { 'content-type': 'application/json' }
    if (adminApiKey !== undefined) headers.authorization = `Bearer ${adminApiKey}`
    const init = { method, headers, ...(body !== undefined && { body: JSON.stringify(body) }) }
    const response = await this.#fetch(this.#url + path, {
      ...init,
      signal: AbortSignal.timeout(timeoutMs),
    }).catch((error: Error) => {
      const why = error.cause instanceof Error ? error.cause.message || error.message : error.message
      throw new Error(
        `no answer from ${this.#url}: ${why}. Is the router there? --url names another operations listener`,
      )
    })
    const text = await response.text()
    if (!response.ok && response.status !== 409) throw new Error(refusal(response.status, text))
    return (text === '' ? {} : JSON.parse(text)) as T
  }
}

function refusal(status: number, text: string): string {
  const hint = status === 401 ? '; set VLLM_ROUTER_ADMIN_API_KEY to the admin key' : ''
  try {
    const { error } = JSON.parse(text) as { error?: { message?: string } }
    return `${status}: ${error?.message ?? text}${hint}`
  } catch {
    return `${status}: ${text.slice(0, 200)}${hint}`
  }
}

interface Asked {
  readonly operation: Operation
  readonly word: string
  readonly own: OwnFlags
  readonly out: (text: string) => void
  readonly err: (text: string) => void
}

async function perform(router: RunningRouter, { operation, word, own, out, err }: Asked): Promise<number> {
  const shown = (value: unknown, text: () => string): number => {
    out(own.json === undefined ? text() : `${JSON.stringify(value, undefined, 2)}\n`)
    return 0
  }
  const path = `/workers/${encodeURIComponent(word)}`
  switch (operation) {
    case 'workers': {
      const { workers } = await router.ask<{ workers: WorkerState[] }>('GET', '/workers')
      return shown(workers, () => table(workerColumns, workers.map(workerRow)))
    }
    case 'drain':
    case 'undrain': {
      const worker = await router.ask<WorkerState>('PATCH', path, { draining: operation === 'drain' })
      return shown(worker, () => `${worker.url} ${stateOf(worker)}, ${worker.in_flight} requests in flight\n`)
    }
    case 'add': {
      const worker = await router.ask<WorkerState>('POST', '/workers', { url: word })
      return shown(worker, () => `${worker.url} added as ${worker.id}\n`)
    }
    case 'remove':
      await router.ask('DELETE', path)
      return shown({}, () => `${word} removed\n`)
    case 'requests': {
      const query = new URLSearchParams()
      for (const name of ['worker', 'model', 'status', 'failed', 'limit'] as const)
        if (own[name] !== undefined) query.set(name, own[name])
      if (own['slower-than-ms'] !== undefined) query.set('slower_than_ms', own['slower-than-ms'])
      const { requests } = await router.ask<{ requests: RequestView[] }>('GET', `/debug/requests?${query}`)
      return shown(requests, () => table(requestColumns, requests.map(requestRow)))
    }
    case 'config': {
      const view = await router.ask<ConfigView>('GET', '/config')
      const lines = () => Object.entries(view.settings).map(([name, value]) => `${name}: ${value}\n`)
      return shown(view, () => lines().join(''))
    }
    case 'reload': {
      const result = await router.ask<ReloadResult>('POST', '/reload', {})
      if (!result.ok) {
        err(
          `not reloaded, the configuration before stays in force:\n${result.problems.map((one) => `  ${one}\n`).join('')}`,
        )
        return 1
      }
      const { changed } = result
      return shown(result, () =>
        changed.length === 0 ? 'nothing has changed\n' : `changed: ${changed.join(', ')}\n`,
      )
    }
  }
}

const workerColumns = ['ID', 'URL', 'STATE', 'IN FLIGHT', 'LAST MINUTE', 'FIRST TOKEN p50/p95', 'MODELS']

function workerRow(worker: WorkerState): string[] {
  const { attempts, failures, refusals, first_token_ms: first } = worker.recent
  const trouble = [
    failures > 0 ? `${failures} failed` : undefined,
    refusals > 0 ? `${refusals} refused` : undefined,
  ].filter((part) => part !== undefined)
  return [
    worker.id,
    worker.url,
    stateOf(worker),
    String(worker.in_flight),
    [`${attempts} sent`, ...trouble].join(', '),
    first === null ? '-' : `${Math.round(first.p50)}/${Math.round(first.p95)} ms`,
    worker.models?.join(' ') ?? '-',
  ]
}

/** In a few words, the worst first. */
function stateOf(worker: WorkerState): string {
  if (worker.health === 'unhealthy') return `unhealthy: ${worker.health_reason ?? ''}`
  if (worker.draining) return 'draining'
  if (worker.health === 'starting') return `starting: ${worker.last_error?.message ?? 'not asked yet'}`
  if (worker.breaker.state === 'open' || worker.breaker.state === 'half_open')
    return `breaker ${worker.breaker.state.replace('_', ' ')}: ${worker.breaker.reason ?? ''}`
  if (worker.unavailable_reason !== null) return worker.unavailable_reason.replaceAll('_', ' ')
  if (worker.last_choice !== null) return worker.last_choice.replaceAll('_', ' ')
  return 'healthy'
}

const requestColumns = ['AT', 'STATUS', 'TIME', 'FIRST TOKEN', 'MODEL', 'WORKER', 'WHY', 'END', 'REQUEST']

function requestRow(view: RequestView): string[] {
  const last = view.attempts.at(-1)
  const tried = view.attempts.length > 1 ? ` (attempt ${view.attempts.length})` : ''
  const { end, first_token: first } = view.phases
  return [
    view.at.slice(11, 23),
    view.status === 0 ? '-' : String(view.status),
    end === undefined ? 'running' : seconds(end),
    first === undefined ? '-' : seconds(first),
    view.answered_by ?? view.model,
    `${last?.worker ?? '-'}${tried}`,
    last?.why ?? '-',
    view.error === undefined ? view.end_reason : `${view.end_reason}: ${view.error}`,
    view.request_id,
  ]
}

function seconds(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`
}

function table(columns: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = columns.map((name, at) => Math.max(name.length, ...rows.map((row) => row[at]?.length ?? 0)))
  const line = (cells: readonly string[]) =>
    `${cells
      .map((cell, at) => cell.padEnd(widths[at] ?? 0))
      .join('  ')
      .trimEnd()}\n`
  return [columns, ...rows].map(line).join('')
}
