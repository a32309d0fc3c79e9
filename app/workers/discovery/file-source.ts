import { readFile } from 'node:fs/promises'
import type { Clock } from '../../clock.ts'
import { parseWorkerList } from '../../config/worker-list.ts'
import { poll } from './poll.ts'
import type { Source, SourceReport } from './source.ts'

export interface FileSourceOptions {
  readonly path: string
  readonly clock: Clock
  readonly random: () => number
  /** Milliseconds between two looks at the file, default 1000. */
  readonly intervalMs?: number
}

const timeoutMs = 10_000

/**
 * A list of workers in a file, read again and again rather than watched: to a reader, an editor's save, an atomic rename,
 * the swapped link of a mounted ConfigMap and a network file system are all the same.
 *
 * A changed text counts when two looks in a row have found the same: a file that is being written may be a valid, shorter
 * list for a moment. A wrong text, or none, changes nothing.
 */
export function fileSource({ path, clock, random, intervalMs = 1000 }: FileSourceOptions): Source {
  let stop = (): void => {}
  return {
    name: 'file',
    start(report) {
      const file = new FileLook(path, report)
      const late = () => report.failed('read', `${path}: still not read after ${timeoutMs / 1000} s`)
      stop = poll({ clock, random, intervalMs, timeoutMs, look: () => file.look(), late })
    },
    stop: () => stop(),
  }
}

class FileLook {
  readonly #path: string
  readonly #report: SourceReport
  #first = true
  #seen: string | undefined
  #used: string | undefined

  constructor(path: string, report: SourceReport) {
    this.#path = path
    this.#report = report
  }

  async look(): Promise<void> {
    // At the start there is nothing to lose yet, and workers are wanted at once.
    const first = this.#first
    this.#first = false
    try {
      const text = await readFile(this.#path, 'utf8')
      const settled = first || text === this.#seen
      this.#seen = text
      if (settled) this.#use(text)
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException
      this.#report.failed('read', `${this.#path}: ${code ?? message}`)
    }
  }

  #use(text: string): void {
    if (text !== this.#used) this.#report.found(parseWorkerList(text))
    this.#used = text
    this.#report.alive()
    this.#report.recovered('read')
  }
}
