import { emitKeypressEvents } from 'node:readline'
import type { ReadStream, WriteStream } from 'node:tty'

/** A terminal that a program may take over for a while. */
export interface Terminal {
  /** ANSI colours are wanted. */
  readonly colour: boolean
  open(): Screen
}

/** The whole terminal, until it is closed. */
export interface Screen {
  readonly columns: number
  readonly rows: number
  /** Shows these lines and nothing else. What is wider than the screen is cut off. */
  draw(lines: readonly string[]): void
  /** `up`, `down`, `q`, `?`, `ctrl-c` ...; `hang up` when the terminal is gone. */
  onKey(listener: (key: string) => void): void
  onResize(listener: () => void): void
  /** Gives the terminal back as it was. Safe to repeat; the end of the process does it, too. */
  close(): void
}

/** Undefined where there is none, or one that cannot move its cursor. */
export function terminalOf(
  streams: { readonly stdin: ReadStream; readonly stdout: WriteStream },
  env: Readonly<Record<string, string | undefined>>,
): Terminal | undefined {
  if (!streams.stdout.isTTY || env.TERM === 'dumb') return undefined
  return {
    colour: env.NO_COLOR === undefined || env.NO_COLOR === '',
    // The input is not touched before: a stream that is looked at may be read.
    open: () => new TerminalScreen(streams.stdin, streams.stdout),
  }
}

// DEC private modes: another screen whose content goes when it is left, no cursor, no wrapping of wide lines.
const enter = '\u001b[?1049h\u001b[?25l\u001b[?7l'
const leave = '\u001b[?7h\u001b[?25h\u001b[?1049l'
const home = '\u001b[H'
const clearToEndOfLine = '\u001b[K'
const clearBelow = '\u001b[J'

class TerminalScreen implements Screen {
  readonly #input: ReadStream
  readonly #output: WriteStream
  #open = true
  readonly #restore = (): void => this.close()

  constructor(input: ReadStream, output: WriteStream) {
    this.#input = input
    this.#output = output
    // Whatever ends the process: a signal, an error that nobody caught, a call of exit.
    process.once('exit', this.#restore)
    // Before the error is printed: on the other screen nobody would see it.
    process.once('uncaughtExceptionMonitor', this.#restore)
    output.write(enter)
    if (!input.isTTY) return
    emitKeypressEvents(input)
    input.setRawMode(true)
    input.resume()
  }

  get columns(): number {
    return this.#output.columns || 80
  }

  get rows(): number {
    return this.#output.rows || 24
  }

  draw(lines: readonly string[]): void {
    if (!this.#open) return
    const shown = lines.slice(0, this.rows).map((line) => line + clearToEndOfLine)
    this.#output.write(home + shown.join('\r\n') + clearBelow)
  }

  onKey(listener: (key: string) => void): void {
    this.#input.on(
      'keypress',
      (text: string | undefined, { name, ctrl }: { name?: string; ctrl?: boolean }) => {
        if (ctrl === true) listener(`ctrl-${name}`)
        else if (name === 'up' || name === 'down' || name === 'escape') listener(name)
        else if (text !== undefined) listener(text)
      },
    )
    for (const end of ['end', 'close', 'error']) this.#input.once(end, () => listener('hang up'))
    this.#output.once('error', () => listener('hang up'))
  }

  onResize(listener: () => void): void {
    this.#output.on('resize', listener)
  }

  close(): void {
    if (!this.#open) return
    this.#open = false
    process.off('exit', this.#restore)
    process.off('uncaughtExceptionMonitor', this.#restore)
    this.#output.write(leave)
    this.#output.removeAllListeners('resize')
    if (!this.#input.isTTY) return
    this.#input.setRawMode(false)
    this.#input.removeAllListeners('keypress')
    this.#input.pause()
  }
}
