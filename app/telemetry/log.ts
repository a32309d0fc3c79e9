import pino, { type Logger, type LoggerOptions } from 'pino'
import pretty from 'pino-pretty'
import { LineBuffer } from './line-buffer.ts'

export type Log = Logger

export interface LogOptions {
  readonly level: string
  /** `auto`: pretty on a terminal, else JSON lines. */
  readonly format: 'auto' | 'pretty' | 'json'
  /** Whether standard output is a terminal. */
  readonly terminal: boolean
  /** Of the lines for people. */
  readonly colour: boolean
  /** On every line. */
  readonly fields?: Readonly<Record<string, string | number>>
  /** Other processes write to the same pipe: no line may be torn. */
  readonly manyWriters?: boolean
}

/** What the kernel writes to a pipe in one piece (PIPE_BUF on Linux). */
const onePieceBytes = 4096

/** The program's log on standard output: one JSON object a line, or a line for people. */
export function createLog(settings: LogOptions): Log {
  const { level, format, terminal, colour, fields = null, manyWriters = false } = settings
  const forPeople = format === 'pretty' || (format === 'auto' && terminal)
  const options = {
    level,
    base: fields,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
  }
  if (!forPeople) return buffered(options, manyWriters ? onePieceBytes : undefined)
  const stream = pretty({
    colorize: colour,
    translateTime: 'SYS:HH:MM:ss.l',
    // A request is a line here too: a screen should hold more than three of them.
    singleLine: true,
    ignore: 'pid,hostname',
    sync: true,
  })
  return pino(options, stream)
}

/** Lines are collected for a moment, errors excepted. */
function buffered(options: LoggerOptions, maxWrite?: number): Log {
  const stream = new LineBuffer(maxWrite)
  return pino(
    {
      ...options,
      hooks: {
        logMethod(args, method, level) {
          method.apply(this, args)
          if (level >= 50) stream.flush()
        },
      },
    },
    stream,
  )
}

/** For the library, where nobody asked for a log. */
export function silentLog(): Log {
  return pino({ level: 'silent' })
}
