import { constants, fstatSync, openSync, writeSync } from 'node:fs'

/** Characters that go out in one piece at most. */
const mostChars = 32 * 1024
const mostMs = 100
/** Characters that wait for a reader who does not read; what comes then is dropped and counted. */
const mostHeldChars = 1024 * 1024
/** Milliseconds between two looks whether he reads again. */
const retryMs = 20
/** Milliseconds that the last lines may take at the end of the process. */
const farewellMs = 200

/**
 * Standard output for log lines, which are collected for a moment: a write to a pipe costs more than the rest of the
 * line. What could be the last words (an error, the end of the process) is flushed at once by whoever writes it.
 *
 * It never waits for whoever reads: a log shipper that stands still must not stop the requests, nor the probes.
 */
export class LineBuffer {
  readonly #fd = standardOutput()
  readonly #mostChars: number
  /** Pieces that are to be written before `#lines`, the first of them perhaps begun. */
  readonly #queue: string[] = []
  #begun: Uint8Array | undefined
  #lines = ''
  #held = 0
  #dropped = 0
  #told = 0
  #timer: ReturnType<typeof setTimeout> | undefined
  /** Told how many lines were dropped since the last time, as soon as there is somebody to read it. */
  onDropped: (lines: number) => void = () => {}

  /** @param maxWrite bytes that go out in one piece, where other processes write to the same pipe; default: no bound */
  constructor(maxWrite?: number) {
    // Of what stands in log lines, hardly a character takes more than one byte, and none of the program's own.
    this.#mostChars = maxWrite === undefined ? mostChars : maxWrite / 2
    process.on('exit', () => this.#sayFarewell())
  }

  /** Lines that were lost until now. */
  get dropped(): number {
    return this.#dropped
  }

  /** @param line with its line end */
  write(line: string): void {
    if (this.#held + line.length > mostHeldChars) {
      this.#dropped += 1
      return
    }
    this.#held += line.length
    if (this.#lines.length + line.length > this.#mostChars) this.flush()
    this.#lines += line
    if (this.#lines.length >= this.#mostChars) this.flush()
    else this.#later(mostMs)
  }

  /** Writes as much as is taken at this moment. */
  flush(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (this.#lines !== '') this.#queue.push(this.#lines)
    this.#lines = ''
    while (this.#queue.length > 0) {
      if (this.#writeFirst()) continue
      this.#later(retryMs)
      return
    }
    const lost = this.#dropped - this.#told
    this.#told = this.#dropped
    if (lost > 0) this.onDropped(lost)
  }

  #later(ms: number): void {
    this.#timer ??= setTimeout(() => this.flush(), ms).unref()
  }

  /** Whether the first piece is done with, written or lost. */
  #writeFirst(): boolean {
    const piece = this.#queue[0] ?? ''
    let rest = this.#begun ?? Buffer.from(piece)
    try {
      while (rest.byteLength > 0) rest = rest.subarray(writeSync(this.#fd, rest))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EAGAIN') {
        this.#begun = rest
        return false
      }
      // A full disk, or a reader that is gone, must not end the process and with it every stream.
      this.#dropped += piece.split('\n').length - 1
    }
    this.#begun = undefined
    this.#held -= piece.length
    this.#queue.shift()
    return true
  }

  #sayFarewell(): void {
    const deadline = performance.now() + farewellMs
    const pause = new Int32Array(new SharedArrayBuffer(4))
    this.flush()
    while (this.#queue.length > 0 && performance.now() < deadline) {
      Atomics.wait(pause, 0, 0, 5)
      this.flush()
    }
  }
}

/** A descriptor of standard output on which a write never waits: `EAGAIN` says that nobody reads. */
function standardOutput(): number {
  const { O_WRONLY, O_NONBLOCK, O_NOCTTY } = constants
  try {
    const kind = fstatSync(1)
    // Opened anew, the terminal stays as it is for the shell that it belongs to.
    if (kind.isCharacterDevice()) return openSync('/proc/self/fd/1', O_WRONLY | O_NONBLOCK | O_NOCTTY)
    // Both runtimes set pipes and sockets to non-blocking when they make their stream of one. A file never waits long.
    if (!kind.isFile()) void process.stdout.writable
  } catch {
    // No /proc, or nothing there at all: as it is.
  }
  return 1
}
