import type { Logger } from 'pino'

/** What the router logs to. */
export type Log = Logger
