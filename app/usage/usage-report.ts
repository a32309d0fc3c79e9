import { RouterError } from '../../http/errors.ts'
import type { UsageKeeper } from './usage-keeper.ts'
import { hourMs, sumOf, type UsageCounts, type UsageRow, usageFields } from './usage-row.ts'

/** Which usage is wanted; all that is named must hold. */
export interface UsageFilter {
  /** Exactly this one; empty: requests without a tenant. */
  readonly tenant?: string | undefined
  readonly model?: string | undefined
  /** Milliseconds since 1970: the hour of this moment is the first one. Default: the first that is kept. */
  readonly from?: number | undefined
  /** The last hour is one that begins before this moment. Default: the present one. */
  readonly to?: number | undefined
}

/** One hour of one tenant and one model. */
export interface UsageHour extends UsageCounts {
  /** Its beginning. */
  readonly hour: string
  /** Null: requests without a tenant. */
  readonly tenant: string | null
  readonly model: string
}

export interface UsageReport {
  /** Beginning of the first hour, and end of the last one. */
  readonly from: string
  readonly to: string
  readonly retention_days: number
  /** It outlives the process. */
  readonly lasts: boolean
  readonly total: UsageCounts
  readonly hours: readonly UsageHour[]
}

/**
 * What tenants have used, hour by hour.
 *
 * @throws RouterError `internal_error` where not all of it can be read
 */
export async function usageReport(keeper: UsageKeeper, filter: UsageFilter): Promise<UsageReport> {
  const { tenant, model } = filter
  const from = Math.max(hourOf(filter.from) ?? 0, keeper.firstHour)
  const to = filter.to === undefined ? keeper.thisHour : Math.ceil(filter.to / hourMs) - 1
  const rows = await keeper.rows({ tenant, model, from, to }).catch(cannotBeTold)
  return {
    from: beginningOf(from),
    to: beginningOf(Math.max(from, to + 1)),
    retention_days: keeper.retentionDays,
    lasts: keeper.lasts,
    total: shown(sumOf(rows)),
    hours: rows.map(hourIn),
  }
}

/** Half of the usage would be taken for all of it. */
function cannotBeTold(error: unknown): never {
  const reason = error instanceof Error ? error.message : String(error)
  throw new RouterError('internal_error', `usage cannot be told while it cannot be written: ${reason}`)
}

function hourIn(row: UsageRow): UsageHour {
  const tenant = row.tenant === '' ? null : row.tenant
  return { hour: beginningOf(row.hour), tenant, model: row.model, ...shown(row) }
}

/** To the microsecond: what sums of fractions add at the end is no use to anybody. */
function shown(counts: UsageCounts): UsageCounts {
  const entries = usageFields.map((field) => [field, Math.round(counts[field] * 1e6) / 1e6])
  return Object.fromEntries(entries) as unknown as UsageCounts
}

function hourOf(ms: number | undefined): number | undefined {
  return ms === undefined ? undefined : Math.floor(ms / hourMs)
}

function beginningOf(hour: number): string {
  return new Date(hour * hourMs).toISOString()
}
