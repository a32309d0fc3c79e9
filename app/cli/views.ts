import type { RequestView } from '../request/request-view.ts'
import type { WorkerState } from '../workers/worker-state.ts'
import { duration, textTable } from './text-table.ts'
import { describeWorkers } from './worker-words.ts'

const workerColumns = ['ID', 'URL', 'STATE', 'IN FLIGHT', 'LAST MINUTE', 'FIRST TOKEN p50/p95', 'MODELS']

/** What `workers` prints. */
export function workerTable(workers: readonly WorkerState[], now = new Date()): string {
  const words = describeWorkers(workers, now)
  return textTable(
    workerColumns,
    workers.map((worker, at) => workerRow(worker, words[at]!)),
  )
}

function workerRow(worker: WorkerState, { state, why }: { state: string; why: string }): string[] {
  const { attempts, failures, refusals, first_token_ms: first } = worker.recent
  const trouble = [
    failures > 0 ? `${failures} failed` : undefined,
    refusals > 0 ? `${refusals} refused` : undefined,
  ].filter((part) => part !== undefined)
  return [
    worker.id,
    worker.url,
    why === '' ? state : `${state}: ${why}`,
    String(worker.in_flight),
    [`${attempts} sent`, ...trouble].join(', '),
    first === null ? '-' : `${Math.round(first.p50)}/${Math.round(first.p95)} ms`,
    worker.models?.join(' ') ?? '-',
  ]
}

export const requestColumns = [
  'AT',
  'STATUS',
  'TIME',
  'FIRST TOKEN',
  'CLIENT',
  'MODEL',
  'WORKER',
  'WHY',
  'END',
  'REQUEST',
] as const

/** What `requests` prints of one. */
export function requestRow(view: RequestView): string[] {
  const last = view.attempts.at(-1)
  const tried = view.attempts.length > 1 ? ` (attempt ${view.attempts.length})` : ''
  const { end, first_token: first } = view.phases
  return [
    view.at.slice(11, 23),
    view.status === 0 ? '-' : String(view.status),
    end === undefined ? 'running' : duration(end),
    first === undefined ? '-' : duration(first),
    view.tenant ?? view.client ?? '-',
    view.answered_by ?? view.model,
    `${last?.worker ?? '-'}${tried}`,
    last?.why ?? '-',
    view.error === undefined ? view.end_reason : `${view.end_reason}: ${view.error}`,
    view.request_id,
  ]
}
