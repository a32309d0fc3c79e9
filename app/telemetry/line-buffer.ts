import pino from 'pino'

const mostChars = 32 * 1024
const mostMs = 100

/**
 * Standard output for log lines, which are collected for a moment: a write to a pipe costs more than the rest of the
 * line. What could be the last words (an error, the end of the process) is flushed at once by whoever writes it.
 */
export class LineBuffer {
  readonly #destination = pino.destination({ fd: 1, sync: true })
  readonly #mostChars: number
  #lines = ''
  #timer: ReturnType<typeof setTimeout> | undefined

  /** @param maxWrite bytes that go out in one piece, where other processes write to the same pipe; default: no bound */
  constructor(maxWrite?: number) {
    // Of what stands in log lines, hardly a character takes more than one byte, and none of the program's own.
    this.#mostChars = maxWrite === undefined ? mostChars : maxWrite / 2
    // A full disk must not end the process and with it every stream: lines that cannot be written are lost.
    this.#destination.on('error', () => {})
    process.on('exit', () => this.flush())
  }

  /** @param line with its line end */
  write(line: string): void {
    if (this.#lines.length + line.length > this.#mostChars) this.flush()
    this.#lines += line
    if (this.#lines.length >= this.#mostChars) this.flush()
    else this.#timer ??= setTimeout(() => this.flush(), mostMs).unref()
  }

  flush(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const lines = this.#lines
    this.#lines = ''
    if (lines === '') return
    try {
      this.#destination.write(lines)
    } catch {
      // As above: the destination reports some errors by throwing.
    }
  }
}
