import { type Database, openDatabase, type SqlValue } from '../runtime/sqlite.ts'
import { type UsageRow, usageFields } from './usage-row.ts'
import type { UsageRange } from './usage-store.ts'

/** Of the tables below; a file of a later one is not touched. */
const schemaVersion = 1

const keys = ['hour', 'tenant', 'model'] as const
const columns = [...keys, ...usageFields]

const schema = `
  CREATE TABLE IF NOT EXISTS usage (
    hour INTEGER NOT NULL,
    tenant TEXT NOT NULL,
    model TEXT NOT NULL,
    ${usageFields.map((field) => `${field} ${field === 'worker_seconds' ? 'REAL' : 'INTEGER'} NOT NULL`).join(',\n    ')},
    PRIMARY KEY (hour, tenant, model)
  ) WITHOUT ROWID;
  PRAGMA user_version = ${schemaVersion};`

const upsert = `
  INSERT INTO usage (${columns.join(', ')}) VALUES (${columns.map(() => '?').join(', ')})
  ON CONFLICT (${keys.join(', ')}) DO UPDATE SET
  ${usageFields.map((field) => `${field} = ${field} + excluded.${field}`).join(', ')}`

/** Usage in a file of SQLite. Everything blocks the thread: see `SqliteStore`. */
export class SqliteUsage {
  readonly #database: Database

  private constructor(database: Database) {
    this.#database = database
  }

  /** @throws Error of the driver, or when the file was written by a later version */
  static async open(file: string): Promise<SqliteUsage> {
    const database = await openDatabase(file)
    try {
      // Another router may have the same file.
      database.exec('PRAGMA busy_timeout = 1000')
      // A process that is killed loses nothing that was committed; a machine without power may lose the last moments.
      database.exec('PRAGMA journal_mode = WAL')
      database.exec('PRAGMA synchronous = NORMAL')
      const [found] = database.all('PRAGMA user_version', [])
      const version = Number(found?.user_version)
      if (version > schemaVersion) throw new Error(`${file} was written by a later version of the router`)
      // Nothing is written into one that has its tables: it can be read although the disk is full.
      if (version < schemaVersion) database.exec(schema)
    } catch (error) {
      database.close()
      throw error
    }
    return new SqliteUsage(database)
  }

  add(rows: readonly UsageRow[]): void {
    this.#database.exec('BEGIN IMMEDIATE')
    try {
      for (const row of rows)
        this.#database.run(
          upsert,
          columns.map((column) => row[column]),
        )
      this.#database.exec('COMMIT')
    } catch (error) {
      this.#rollBack()
      throw error
    }
  }

  rows({ tenant, model, from, to }: UsageRange): UsageRow[] {
    const wanted: [string, SqlValue][] = [
      ['hour >= ?', from],
      ['hour <= ?', to],
    ]
    if (tenant !== undefined) wanted.push(['tenant = ?', tenant])
    if (model !== undefined) wanted.push(['model = ?', model])
    const sql = `SELECT ${columns.join(', ')} FROM usage
      WHERE ${wanted.map(([condition]) => condition).join(' AND ')} ORDER BY ${keys.join(', ')}`
    const found = this.#database.all(
      sql,
      wanted.map(([, value]) => value),
    )
    // Without the prototype that a driver gives them.
    return found.map((row) => ({ ...row }) as unknown as UsageRow)
  }

  forget(before: number): void {
    this.#database.run('DELETE FROM usage WHERE hour < ?', [before])
  }

  close(): void {
    this.#database.close()
  }

  /** Some faults have ended the transaction already. */
  #rollBack(): void {
    try {
      this.#database.exec('ROLLBACK')
    } catch {
      // What failed before says why.
    }
  }
}
