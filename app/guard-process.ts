import type { Log } from './telemetry/log.ts'

/** A fault nobody expected is written down; it must not take the streams of all other clients with it. */
export function guardProcess(log: Log): void {
  process.on('unhandledRejection', (error) => log.error({ err: error }, 'unhandled rejection'))
  process.on('uncaughtException', (error) => log.error({ err: error }, 'uncaught exception'))
}
