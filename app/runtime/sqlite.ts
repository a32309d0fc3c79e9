/** A value of a column. */
export type SqlValue = string | number | null

/** A database of SQLite, by the driver that the runtime brings. Everything blocks the thread. */
export interface Database {
  /** Statements without values. */
  exec(sql: string): void
  run(sql: string, values: readonly SqlValue[]): void
  all(sql: string, values: readonly SqlValue[]): Record<string, unknown>[]
  close(): void
}

/**
 * Opens the file, which need not be there. The drivers are loaded here and nowhere else: who keeps nothing does not load
 * them.
 *
 * @throws Error of the driver
 */
export async function openDatabase(file: string): Promise<Database> {
  return process.versions.bun === undefined ? openOnNode(file) : openOnBun(file)
}

async function openOnNode(file: string): Promise<Database> {
  const { DatabaseSync } = await import('node:sqlite')
  const database = new DatabaseSync(file)
  const statements = new Map<string, ReturnType<typeof database.prepare>>()
  const prepared = (sql: string) => {
    const known = statements.get(sql) ?? database.prepare(sql)
    statements.set(sql, known)
    return known
  }
  return {
    exec: (sql) => database.exec(sql),
    run: (sql, values) => void prepared(sql).run(...values),
    all: (sql, values) => prepared(sql).all(...values),
    close: () => database.close(),
  }
}

async function openOnBun(file: string): Promise<Database> {
  const sqlite = await import('bun:sqlite')
  const database = new sqlite.Database(file, { create: true, strict: true })
  return {
    exec: (sql) => void database.run(sql),
    // Kept by the driver itself.
    run: (sql, values) => void database.query(sql).run(...values),
    all: (sql, values) => database.query<Record<string, unknown>, SqlValue[]>(sql).all(...values),
    close: () => database.close(),
  }
}
