import type { RequestView } from '../../request/request-view.ts'
import { plain } from '../text-table.ts'
import { shortUrl } from './fit.ts'
import { clockTime } from './refreshing.ts'

/** Requests of one client that failed alike: of one tenant, where keys tell, since all clients may come by one proxy. */
export interface FailedGroup {
  readonly count: number
  readonly newest: RequestView
}

/** The newest group first. @param failed the newest first */
export function groupFailed(failed: readonly RequestView[]): readonly FailedGroup[] {
  const groups = new Map<string, { count: number; newest: RequestView }>()
  for (const view of failed) {
    const { status, end_reason: reason, error } = view
    const key = JSON.stringify([view.tenant ?? view.client, status, reason, error])
    const group = groups.get(key)
    if (group === undefined) groups.set(key, { count: 1, newest: view })
    else group.count += 1
  }
  return [...groups.values()]
}

/** A title, and two lines for each group: who and what, then why. */
export function failedLines(groups: readonly FailedGroup[], columns: number): readonly string[] {
  if (groups.length === 0) return ['FAILED REQUESTS: none of the last thousand']
  const title = `${'FAILED REQUESTS'.padEnd(20)}${'CLIENT'.padEnd(16)}STATUS  HOW`
  return [title, ...groups.flatMap((group) => groupLines(group, columns))]
}

function groupLines({ count, newest }: FailedGroup, columns: number): string[] {
  const { at, tenant, client = '-', status, end_reason: end, error, model, attempts } = newest
  const times = count === 1 ? '' : `${count} times`
  const said = end === 'completed' ? "the worker's answer" : end
  const first = [
    `  ${clockTime(new Date(at))} ${times.padEnd(9)}`,
    (tenant ?? client).padEnd(15),
    String(status === 0 ? '-' : status).padEnd(7),
    `${said}, model ${model}`,
  ]
  const asked = attempts.map(({ worker, outcome }) => `${shortUrl(worker)} ${outcome}`).join(', ')
  const room = columns - 6
  const where = asked === '' ? 'no worker was asked' : `asked: ${asked}`
  // The workers are shown whole as far as there is room: the message is the same for every client.
  const why =
    error === undefined
      ? where
      : `${plain(error)}${error.length + where.length + 3 <= room ? ` (${where})` : ''}`
  return [plain(first.join(' ')), `      ${why}`]
}
