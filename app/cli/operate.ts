import type { Environment } from '../config/environment.ts'
import { loadConfig } from '../config/load-config.ts'
import { formatProblems } from '../config/problem.ts'
import type { ConfigView, ReloadResult } from '../operations/router-control.ts'
import type { RequestView } from '../request/request-view.ts'
import type { UsageReport } from '../usage/usage-report.ts'
import type { WorkerState } from '../workers/worker-state.ts'
import { followRequests, requestPath } from './follow-requests.ts'
import type { Terminal } from './live/terminal.ts'
import { top } from './live/top.ts'
import { watchWorkers } from './live/watch-workers.ts'
import { routerFetch } from './router-fetch.ts'
import { Refused, RunningRouter } from './running-router.ts'
import { textTable } from './text-table.ts'
import { usagePath, usageTable } from './usage-view.ts'
import { type Arguments, splitArguments, type VerbName, verbOf } from './verbs.ts'
import { requestColumns, requestRow, workerTable } from './views.ts'
import { describeWorkers } from './worker-words.ts'

/** Verbs that ask a running router something, or have it do something. */
export const operations = [
  'top',
  'workers',
  'drain',
  'undrain',
  'add',
  'remove',
  'requests',
  'usage',
  'reload',
  'config',
] as const satisfies readonly VerbName[]

export type Operation = (typeof operations)[number]

export interface OperateOptions {
  readonly operation: Operation
  /** What stands behind the verb: the words, then the flags. */
  readonly argv: readonly string[]
  readonly env: Environment
  readonly out: (text: string) => void
  readonly err: (text: string) => void
  readonly fetch?: typeof globalThis.fetch | undefined
  /** Undefined: the output goes to a file or another program. */
  readonly terminal?: Terminal | undefined
  /** Ends what would go on for ever. */
  readonly stop?: AbortSignal | undefined
}

/** Does one of these verbs; resolves with the exit code: 0, 1 where the router says no or nothing, 2 for a wrong command. */
export async function operate(options: OperateOptions): Promise<number> {
  const { operation, env, out, err, fetch, terminal, stop } = options
  const { words, own, settings } = splitArguments(operation, options.argv)
  const wrong = wrongWords(operation, words)
  if (wrong !== undefined) {
    err(`${wrong}\n`)
    return 2
  }
  const loaded = await loadConfig({ argv: settings, env })
  if (!loaded.ok) {
    err(`${formatProblems(loaded.faults)}\n`)
    return 2
  }
  const shown = own.url === undefined ? loaded.config.prometheusTlsCertFile : undefined
  const reached = routerFetch({ own, shown, fetch })
  if ('faults' in reached) {
    err(`${formatProblems(reached.faults)}\n`)
    return 2
  }
  const timeoutMs = operation === 'top' || own.watch || own.follow ? liveTimeoutMs : undefined
  const router = new RunningRouter({
    ...{ url: own.url, config: loaded.config, fetch: reached.fetch },
    ...(timeoutMs !== undefined && { timeoutMs }),
  })
  try {
    return await perform(router, { operation, word: words[0] ?? '', own, out, err, terminal, stop })
  } catch (error) {
    err(`${error instanceof Error ? error.message : String(error)}\n`)
    return 1
  }
}

/** Milliseconds: what is shown live must soon be said to be old. */
const liveTimeoutMs = 3000

function wrongWords(operation: Operation, words: readonly string[]): string | undefined {
  const { takes } = verbOf(operation)
  // `config schema` is another verb.
  const wanted = takes?.startsWith('<') ? 1 : 0
  if (words.length === wanted) return undefined
  return `vllm-router ${operation}${wanted === 0 ? ' takes no word' : ` ${takes}: exactly one`}`
}

export interface Asked extends Omit<OperateOptions, 'argv' | 'env' | 'fetch'> {
  readonly word: string
  readonly own: Arguments['own']
}

async function perform(router: RunningRouter, asked: Asked): Promise<number> {
  const { operation, word, own, out, err } = asked
  const shown = (value: unknown, text: () => string): number => {
    out(own.json === undefined ? text() : `${JSON.stringify(value, undefined, 2)}\n`)
    return 0
  }
  const path = `/workers/${encodeURIComponent(word)}`
  switch (operation) {
    case 'top':
      return top(router, asked)
    case 'workers': {
      if (own.watch !== undefined) return watchWorkers(router, asked)
      const workers = await router.workers()
      return shown(workers, () => workerTable(workers))
    }
    case 'drain':
    case 'undrain': {
      const worker = await router.ask<WorkerState>('PATCH', path, { draining: operation === 'drain' })
      const [words] = describeWorkers([worker], new Date())
      return shown(worker, () => `${worker.url} ${words?.state}, ${worker.in_flight} requests in flight\n`)
    }
    case 'add': {
      const worker = await router.ask<WorkerState>('POST', '/workers', { url: word })
      return shown(worker, () => `${worker.url} added as ${worker.id}\n`)
    }
    case 'remove':
      await router.ask('DELETE', path)
      return shown({}, () => `${word} removed\n`)
    case 'requests': {
      if (own.follow !== undefined) return followRequests(router, asked)
      const { requests } = await router.ask<{ requests: RequestView[] }>('GET', requestPath(own))
      return shown(requests, () => textTable(requestColumns, requests.map(requestRow)))
    }
    case 'usage': {
      if (own.csv !== undefined) {
        const { status, text } = await router.get(usagePath(own))
        if (status !== 200) throw new Refused(status, text)
        out(text)
        return 0
      }
      const report = await router.ask<UsageReport>('GET', usagePath(own))
      return shown(report, () => usageTable(report))
    }
    case 'config': {
      const view = await router.ask<ConfigView>('GET', '/config')
      const lines = () => Object.entries(view.settings).map(([name, value]) => `${name}: ${value}\n`)
      return shown(view, () => lines().join(''))
    }
    case 'reload': {
      const result = await router.ask<ReloadResult>('POST', '/reload', {})
      if (result.ok)
        return shown(result, () =>
          result.changed.length === 0 ? 'nothing has changed\n' : `changed: ${result.changed.join(', ')}\n`,
        )
      const problems = result.problems.map((one) => `  ${one}\n`).join('')
      err(`not reloaded, the configuration before stays in force:\n${problems}`)
      return 1
    }
  }
}
