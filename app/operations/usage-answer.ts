import type { Context } from 'hono'
import { RouterError } from '../../http/errors.ts'
import type { GatewayContext } from '../request/context.ts'
import { usageCsv } from '../usage/usage-csv.ts'
import type { UsageFilter } from '../usage/usage-report.ts'
import type { RouterControl } from './router-control.ts'

const parameters = ['tenant', 'model', 'from', 'to', 'format'] as const

/** A date, or a date and a time, of ISO 8601; without a time zone it is in UTC. */
const moment = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d)?)?$/

/** What tenants have used, as JSON or, for those who ask for it, as CSV. */
export async function usageAnswer(c: Context<GatewayContext>, control: RouterControl): Promise<Response> {
  const query = c.req.query()
  for (const name of Object.keys(query)) {
    if ((parameters as readonly string[]).includes(name)) continue
    const message = `${JSON.stringify(name)} is no parameter; there are: ${parameters.join(', ')}`
    throw new RouterError('invalid_request', message, { param: name })
  }
  const isCsv = wantsCsv(query.format, c.req.header('accept'))
  const report = await control.usage(filterIn(query))
  if (!isCsv) return c.json(report)
  return c.body(usageCsv(report.hours), 200, { 'content-type': 'text/csv; charset=utf-8; header=present' })
}

function wantsCsv(format: string | undefined, accept: string | undefined): boolean {
  if (format === undefined) return accept?.includes('text/csv') === true
  if (format === 'csv' || format === 'json') return format === 'csv'
  throw new RouterError('invalid_request', '`format` must be json or csv', { param: 'format' })
}

function filterIn(query: Readonly<Record<string, string>>): UsageFilter {
  const { tenant, model } = query
  return { tenant, model, from: momentIn(query, 'from'), to: momentIn(query, 'to') }
}

/** Milliseconds since 1970. */
function momentIn(query: Readonly<Record<string, string>>, name: 'from' | 'to'): number | undefined {
  const text = query[name]
  if (text === undefined) return undefined
  const isLocal = text.includes('T') && !/(Z|[+-]\d\d:\d\d)$/.test(text)
  const ms = moment.test(text) ? Date.parse(isLocal ? `${text}Z` : text) : Number.NaN
  if (!Number.isNaN(ms)) return ms
  const message = `\`${name}\` must be a date or a time such as 2026-11-28 or 2026-11-28T09:00:00Z`
  throw new RouterError('invalid_request', message, { param: name })
}
