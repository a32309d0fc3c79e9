import { createReadStream } from 'node:fs'
import type { Clock } from '../../runtime/clock.ts'
import type { Source, SourceReport } from '../source.ts'
import { parseList } from './parse-list.ts'
import { poll } from './poll.ts'

export interface FileSourceOptions {
  readonly path: string
  readonly clock: Clock
  readonly random: () => number
  /** Milliseconds between two looks at the file, default 1000. */
  readonly intervalMs?: number
}

const timeoutMs = 10_000

/** Bytes. Ten thousand workers fit; a file that is larger is none of workers. */
const maxBytes = 2 ** 20

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
      const text = await readStart(this.#path)
      const settled = first || text === this.#seen
      this.#seen = text
      if (settled) await this.#use(text)
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException
      this.#report.failed('read', `${this.#path}: ${code ?? message}`)
    }
  }

  async #use(text: string): Promise<void> {
    if (text !== this.#used) this.#report.found(await parseList(text))
    this.#used = text
    this.#report.alive()
    this.#report.recovered('read')
  }
}

/** Not more than can be looked at: the path may lead to a log, or to a device that never ends. */
async function readStart(path: string): Promise<string> {
  const pieces: Buffer[] = []
  let length = 0
  // Up to and with the byte at `end`: one more than there may be.
  for await (const piece of createReadStream(path, { end: maxBytes })) {
    pieces.push(piece as Buffer)
    length += (piece as Buffer).length
  }
  if (length > maxBytes) throw new Error(`more than ${maxBytes} bytes: this is no list of workers`)
  return Buffer.concat(pieces).toString('utf8')
}
