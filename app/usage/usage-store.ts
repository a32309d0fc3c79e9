import { type UsageRow, type UsageSums, usageFields } from './usage-row.ts'

/** Which rows are wanted; all that is named must hold. */
export interface UsageRange {
  /** Exactly this one; empty: requests without a tenant. */
  readonly tenant?: string | undefined
  readonly model?: string | undefined
  /** Hours since 1970, both included. */
  readonly from: number
  readonly to: number
}

/** Where usage is kept. */
export interface UsageStore {
  /** It is still there after the end of the process. */
  readonly lasts: boolean
  /** Adds to what there is of the same hour, tenant and model: all of it, or nothing and rejects. */
  add(rows: readonly UsageRow[]): Promise<void>
  /** By hour, tenant and model. */
  rows(range: UsageRange): Promise<readonly UsageRow[]>
  /** Forgets the hours before this one. */
  forget(before: number): Promise<void>
  close(): Promise<void>
}

/** Rows in memory, one for each hour, tenant and model. */
export class UsageTable {
  readonly #rows = new Map<number, Map<string, Map<string, UsageSums>>>()

  add(rows: readonly UsageRow[]): void {
    for (const row of rows) {
      const sums = this.#sumsOf(row)
      for (const field of usageFields) sums[field] += row[field]
    }
  }

  /** In the order in which they came. */
  all(): UsageRow[] {
    return [...this.#rows].flatMap(([hour, tenants]) =>
      [...tenants].flatMap(([tenant, models]) =>
        [...models].map(([model, sums]) => ({ hour, tenant, model, ...sums })),
      ),
    )
  }

  /** All rows; they are here no longer. */
  take(): UsageRow[] {
    const all = this.all()
    this.#rows.clear()
    return all
  }

  forget(before: number): void {
    for (const hour of this.#rows.keys()) if (hour < before) this.#rows.delete(hour)
  }

  #sumsOf({ hour, tenant, model }: UsageRow): UsageSums {
    const tenants = this.#rows.get(hour) ?? new Map<string, Map<string, UsageSums>>()
    this.#rows.set(hour, tenants)
    const models = tenants.get(tenant) ?? new Map<string, UsageSums>()
    tenants.set(tenant, models)
    const known = models.get(model)
    if (known !== undefined) return known
    const sums = Object.fromEntries(usageFields.map((field) => [field, 0])) as UsageSums
    models.set(model, sums)
    return sums
  }
}

/** Kept as long as the process lives. */
export class MemoryStore implements UsageStore {
  readonly lasts = false
  readonly #table = new UsageTable()

  async add(rows: readonly UsageRow[]): Promise<void> {
    this.#table.add(rows)
  }

  async rows({ tenant, model, from, to }: UsageRange): Promise<readonly UsageRow[]> {
    return this.#table
      .all()
      .filter(({ hour }) => hour >= from && hour <= to)
      .filter((row) => tenant === undefined || row.tenant === tenant)
      .filter((row) => model === undefined || row.model === model)
      .toSorted((a, b) => a.hour - b.hour || compare(a.tenant, b.tenant) || compare(a.model, b.model))
  }

  async forget(before: number): Promise<void> {
    this.#table.forget(before)
  }

  async close(): Promise<void> {}
}

/** By code points, as SQLite compares the bytes of UTF-8. */
function compare(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}
