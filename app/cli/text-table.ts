/** Rows in aligned columns, two spaces apart. Cells come from workers and clients too: see `plain`. */
export function textTable(columns: readonly string[], rows: readonly (readonly string[])[]): string {
  return new Columns(columns).table(rows)
}

/** Columns that only grow: rows that come one after the other still stand below each other. */
export class Columns {
  readonly #names: readonly string[]
  readonly #widths: number[]

  constructor(names: readonly string[]) {
    this.#names = names
    this.#widths = names.map((name) => name.length)
  }

  /** The heading and the rows; every line ends with a newline. */
  table(rows: readonly (readonly string[])[]): string {
    return this.lines([this.#names, ...rows])
  }

  lines(rows: readonly (readonly string[])[]): string {
    const cells = rows.map((row) => row.map(plain))
    for (const row of cells)
      for (const [at, cell] of row.entries()) this.#widths[at] = Math.max(this.#widths[at] ?? 0, cell.length)
    return cells.map((row) => this.#line(row)).join('')
  }

  #line(row: readonly string[]): string {
    const padded = row.map((cell, at) => cell.padEnd(this.#widths[at] ?? 0))
    return `${padded.join('  ').trimEnd()}\n`
  }
}

/** Without control characters, which would reach the terminal and might steer it. */
export function plain(text: string): string {
  return text.replace(/\p{Cc}|\p{Cf}/gu, '?')
}

/** `820 ms`, `4.2 s` */
export function duration(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`
}
