import type { UsageHour, UsageReport } from '../usage/usage-report.ts'
import { sumOf } from '../usage/usage-row.ts'
import { textTable } from './text-table.ts'
import type { OwnFlags } from './verbs.ts'

/** Where the router tells of its usage, that which the flags want. */
export function usagePath(own: OwnFlags): string {
  const query = new URLSearchParams()
  for (const name of ['tenant', 'model', 'from', 'to'] as const)
    if (own[name] !== undefined) query.set(name, own[name])
  if (own.csv !== undefined) query.set('format', 'csv')
  return `/usage?${query}`
}

const columns = [
  'TENANT',
  'MODEL',
  'REQUESTS',
  'PROMPT',
  'CACHED',
  'COMPLETION',
  'UNMETERED',
  'WORKER SECONDS',
]

/** What `usage` prints: all hours together, who has taken most of the workers first. */
export function usageTable({ hours, from, to, total }: UsageReport): string {
  const groups = Map.groupBy(hours, ({ tenant, model }) => JSON.stringify([tenant, model]))
  const rows = [...groups.values()].map((group) => ({ ...group[0]!, ...sumOf(group) }))
  const sorted = rows.toSorted((a, b) => b.worker_seconds - a.worker_seconds)
  const sum = { ...total, hour: '', tenant: 'all', model: '' }
  const table = textTable(columns, [...sorted, ...(rows.length > 1 ? [sum] : [])].map(rowOf))
  return `${table}from ${from} to ${to}\n`
}

function rowOf(row: UsageHour): string[] {
  return [
    row.tenant ?? '-',
    row.model,
    String(row.requests),
    String(row.prompt_tokens),
    String(row.cached_tokens),
    String(row.completion_tokens),
    String(row.unmetered_requests),
    row.worker_seconds.toFixed(1),
  ]
}
