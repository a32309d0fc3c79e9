/** A log whose lines a test reads. */

import pino from 'pino'
import type { Log } from '../../app/telemetry/log.ts'

export type LoggedLine = Readonly<Record<string, unknown>>

export interface LogLines {
  readonly log: Log
  /** Those with that text, in order. */
  said(msg: string): LoggedLine[]
}

export function logLines(level = 'info'): LogLines {
  const lines: LoggedLine[] = []
  const write = (line: string): void => void lines.push(JSON.parse(line))
  return {
    log: pino({ level, base: null }, { write }),
    said: (msg) => lines.filter((line) => line.msg === msg),
  }
}
