/**
 * Microseconds of the machine's monotonic clock, the same in every process of Node: a worker writes it into an event, and
 * the client tells from it how long the event was on its way.
 */
export function monotonicClock(): () => number {
  const offset = Number(process.hrtime.bigint()) / 1000 - performance.now() * 1000
  return () => performance.now() * 1000 + offset
}
