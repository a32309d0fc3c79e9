import { plain } from './text-table.ts'

export interface BannerOptions {
  readonly version: string
  /** `Bun 1.4.5`, `Node 24.21.0` */
  readonly runtime: string
  readonly urls: { readonly api: string; readonly operations: string }
  readonly workers: readonly BannerWorker[]
  readonly policy: string
  /** The workers are simulated ones of `--demo`. */
  readonly demo: boolean
  /** Clients must present a key: the command to paste then carries one. */
  readonly keyRequired?: boolean
  /** ANSI colours; for a terminal, and only without NO_COLOR. */
  readonly colour?: boolean
}

export interface BannerWorker {
  readonly id: string
  readonly url: string
  /** One word for the state: `healthy`, `starting`. */
  readonly state: string
  readonly models: readonly string[]
}

const mostWorkers = 10
const usualModel = 'facebook/opt-350m'

/** What a person reads at the start: where it listens, what it routes to, and a request to paste. Ends with a newline. */
export function banner(options: BannerOptions): string {
  const { version, runtime, urls, workers, policy, demo } = options
  const paint = options.colour ? colours : uncoloured
  const facts = [
    ['API', urls.api],
    ['Operations', `${urls.operations}  ${paint.dim('metrics, probes, admin')}`],
    ['Policy', plain(policy)],
    [
      'Workers',
      `${workers.length === 0 ? 'none yet' : `${workers.length} (${states(workers)})`}${demo ? ', SIMULATED' : ''}`,
    ],
  ] as const
  const lines = [
    `${paint.bold('vllm-router')} ${version} on ${runtime}`,
    ...(demo ? [paint.warn('SIMULATED: these workers are no models. Their answers are made up.')] : []),
    '',
    ...facts.map(([name, value]) => `  ${name.padEnd(12)}${value}`),
    ...(workers.length > 0 ? ['', ...table(workers, paint)] : []),
    '',
    `  Try it:`,
    '',
    ...curl(options).map((line) => `    ${line}`),
  ]
  return `${lines.join('\n')}\n`
}

function states(workers: readonly BannerWorker[]): string {
  const counts = new Map<string, number>()
  for (const { state } of workers) counts.set(state, (counts.get(state) ?? 0) + 1)
  return [...counts].map(([state, count]) => `${count} ${plain(state)}`).join(', ')
}

function table(workers: readonly BannerWorker[], paint: Paint): string[] {
  const shown = workers.slice(0, mostWorkers)
  const rows = shown.map(({ id, url, state, models }) => ({
    name: id === url ? '' : plain(id),
    url: plain(url),
    state: plain(state),
    models: models.length === 0 ? '-' : models.map(plain).join(', '),
  }))
  const width = (column: 'name' | 'url' | 'state') => Math.max(...rows.map((row) => row[column].length))
  const [names, urls, words] = [width('name'), width('url'), width('state')]
  const lines = rows.map((row) => {
    const name = names === 0 ? '' : `${row.name.padEnd(names)}  `
    const tint = row.state === 'healthy' ? paint.good : paint.dim
    return `    ${name}${row.url.padEnd(urls)}  ${tint(row.state.padEnd(words))}  ${row.models}`
  })
  const rest = workers.slice(mostWorkers)
  return rest.length === 0 ? lines : [...lines, `    and ${rest.length} more: ${states(rest)}`]
}

function curl({ urls, workers, keyRequired }: BannerOptions): string[] {
  const model = plain(workers.find(({ models }) => models.length > 0)?.models[0] ?? usualModel)
  const body = JSON.stringify({ model, prompt: 'Test', max_tokens: 10 })
  return [
    `curl -s ${reachable(urls.api)}/v1/completions -H 'Content-Type: application/json' \\`,
    ...(keyRequired ? [`  -H "Authorization: Bearer $KEY" \\`] : []),
    `  -d '${body.replaceAll("'", "'\\''")}'`,
  ]
}

/** An address to listen on is not always one to connect to. */
function reachable(url: string): string {
  return url.replace('//0.0.0.0:', '//127.0.0.1:').replace('//[::]:', '//[::1]:').replace(/\/$/, '')
}

type Tint = (text: string) => string
interface Paint {
  readonly bold: Tint
  readonly dim: Tint
  readonly good: Tint
  readonly warn: Tint
}

const same: Tint = (text) => text
const uncoloured: Paint = { bold: same, dim: same, good: same, warn: same }

const ansi =
  (code: number): Tint =>
  (text) =>
    `\u001b[${code}m${text}\u001b[0m`
const colours: Paint = { bold: ansi(1), dim: ansi(2), good: ansi(32), warn: ansi(33) }
