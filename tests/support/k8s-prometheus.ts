/** A real Prometheus beside a test: scrapes, evaluates the rules, and is asked over its HTTP API. */

import { spawn, spawnSync } from 'node:child_process'
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { eventually, within } from './deadline.ts'
import type { Scope } from './scope.ts'

export interface Series {
  readonly metric: Readonly<Record<string, string>>
  /** Only numbers: what was not a number at a time is left out. */
  readonly values: readonly number[]
}

export interface RuleState {
  readonly name: string
  readonly health: string
  readonly lastError?: string
}

export interface Prometheus {
  /** The query at every second of its life so far. */
  range(query: string): Promise<readonly Series[]>
  /** Series that match, as the variables of dashboards ask for them. */
  series(match: string): Promise<readonly Readonly<Record<string, string>>[]>
  rules(): Promise<readonly RuleState[]>
}

export const withoutPrometheus: string | false =
  spawnSync('prometheus', ['--version'], { stdio: 'ignore' }).status === 0
    ? false
    : 'prometheus is not on PATH'

const rules = fileURLToPath(new URL('../../k8s/monitoring/rules.yaml', import.meta.url))

/** Prometheus cannot be told to take any free port and say which. */
function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' ? (address?.port ?? 0) : 0))
    })
  })
}

/** Scrapes `127.0.0.1:port` twice a second, under the names that a cluster would give. */
export async function startPrometheus(port: number, t: Scope): Promise<Prometheus> {
  const home = await mkdtemp(join(tmpdir(), 'vllm-router-prometheus-'))
  t.after(() => rm(home, { recursive: true, force: true }))
  await mkdir(join(home, 'data'))
  await cp(rules, join(home, 'rules.yaml'))
  const target = { targets: [`127.0.0.1:${port}`], labels: { namespace: 'ml', pod: 'router-a' } }
  // JSON is YAML.
  const config = {
    global: { scrape_interval: '500ms', scrape_timeout: '500ms', evaluation_interval: '1s' },
    rule_files: ['rules.yaml'],
    scrape_configs: [{ job_name: 'vllm-router', static_configs: [target] }],
  }
  await writeFile(join(home, 'prometheus.yaml'), JSON.stringify(config))
  const own = await freePort()
  const child = spawn(
    'prometheus',
    [
      `--config.file=${join(home, 'prometheus.yaml')}`,
      `--storage.tsdb.path=${join(home, 'data')}`,
      `--web.listen-address=127.0.0.1:${own}`,
      '--log.level=warn',
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  )
  let stderr = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  const exited = new Promise<void>((resolve) => child.once('close', () => resolve()))
  t.after(async () => {
    child.kill('SIGKILL')
    await within(5000, exited, 'the end of Prometheus')
  })
  const ready = async () => (await fetch(`http://127.0.0.1:${own}/-/ready`)).ok
  try {
    await eventually(ready, { what: 'Prometheus is ready', withinMs: 20_000, everyMs: 50 })
  } catch (error) {
    throw new Error(`Prometheus did not start: ${stderr}`, { cause: error })
  }
  return client(`http://127.0.0.1:${own}/api/v1`, Date.now() / 1000)
}

function client(api: string, started: number): Prometheus {
  async function get<T>(path: string, query: Readonly<Record<string, string>>): Promise<T> {
    const response = await fetch(`${api}${path}?${new URLSearchParams(query)}`)
    const { status, data, error } = (await response.json()) as { status: string; data: T; error?: string }
    if (status !== 'success') throw new Error(`${path} ${JSON.stringify(query)}: ${error}`)
    return data
  }
  return {
    async range(query) {
      const end = String(Date.now() / 1000)
      const data = await get<{ result: { metric: Record<string, string>; values: [number, string][] }[] }>(
        '/query_range',
        { query, start: String(started), end, step: '1' },
      )
      return data.result.map(({ metric, values }) => ({
        metric,
        values: values.map(([, value]) => Number(value)).filter((value) => !Number.isNaN(value)),
      }))
    },
    series: (match) => get('/series', { 'match[]': match }),
    async rules() {
      const { groups } = await get<{ groups: { rules: RuleState[] }[] }>('/rules', {})
      return groups.flatMap(({ rules: states }) => states)
    },
  }
}
