import type { Log } from './log.ts'

/** So many faults within so many milliseconds are no accident any more: something fails again and again. */
const mostFaults = 50
const withinMs = 10_000

/**
 * A fault nobody expected is written down; it must not take the streams of all other clients with it. One that repeats
 * without end is another thing: such a process serves nobody, and ends, so that it can be started anew.
 */
export function guardProcess(log: Log): void {
  let recent: number[] = []

  function note(error: unknown, what: string): void {
    log.error({ err: error }, what)
    const now = performance.now()
    recent = recent.filter((at) => now - at < withinMs)
    recent.push(now)
    if (recent.length < mostFaults) return
    log.fatal(`${what}: ${mostFaults} faults within ${withinMs / 1000} s; the process ends`)
    process.exit(1)
  }

  process.on('unhandledRejection', (error) => note(error, 'unhandled rejection'))
  process.on('uncaughtException', (error) => note(error, 'uncaught exception'))
}
