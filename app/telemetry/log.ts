import pino, { type Logger } from 'pino'
import pretty from 'pino-pretty'

export type Log = Logger

export interface LogOptions {
  readonly level: string
  /** `auto`: pretty on a terminal, else JSON lines. */
  readonly format: 'auto' | 'pretty' | 'json'
  /** Whether standard output is a terminal. */
  readonly terminal: boolean
}

/** The program's log on standard output: one JSON object a line, or a line for people. */
export function createLog({ level, format, terminal }: LogOptions): Log {
  const forPeople = format === 'pretty' || (format === 'auto' && terminal)
  const options = {
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
  }
  // Synchronous: a line that is still in a buffer when the process dies is the one that would have told why.
  if (!forPeople) return pino(options, pino.destination({ fd: 1, sync: true }))
  const stream = pretty({
    colorize: terminal,
    translateTime: 'SYS:HH:MM:ss.l',
    ignore: 'pid,hostname',
    sync: true,
  })
  return pino(options, stream)
}

/** For the library, where nobody asked for a log. */
export function silentLog(): Log {
  return pino({ level: 'silent' })
}
