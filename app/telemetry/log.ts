import pino, { type DestinationStream, type LoggerOptions } from 'pino'
import { LineBuffer } from './line-buffer.ts'
import type { Log } from './logger.ts'
import { PeopleLines } from './people-lines.ts'

export type { Log }

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
  const buffer = new LineBuffer(manyWriters ? onePieceBytes : undefined)
  const log = flushed(options, buffer, forPeople ? new PeopleLines(buffer, { colour }) : buffer)
  buffer.onDropped = (lines) =>
    log.warn({ dropped: lines }, 'log lines were dropped: nobody read them fast enough')
  return log
}

/** Lines are collected for a moment, errors excepted. */
function flushed(options: LoggerOptions, buffer: LineBuffer, stream: DestinationStream): Log {
  return pino(
    {
      ...options,
      hooks: {
        logMethod(args, method, level) {
          method.apply(this, args)
          if (level >= 50) buffer.flush()
        },
      },
    },
    stream,
  )
}

/** What a log writes to, where it is one of this program's own. */
export function streamOf(log: Log): LineBuffer | PeopleLines | undefined {
  const stream = (log as unknown as Record<symbol, unknown>)[pino.symbols.streamSym]
  return stream instanceof LineBuffer || stream instanceof PeopleLines ? stream : undefined
}

/** Lines that were lost until now since nobody read them. */
export function droppedLines(log: Log): number {
  const stream = streamOf(log)
  return (stream instanceof PeopleLines ? stream.buffer : stream)?.dropped ?? 0
}

/** For the library, where nobody asked for a log. */
export function silentLog(): Log {
  return pino({ level: 'silent' })
}
