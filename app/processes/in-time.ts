import { RouterError } from '../../http/errors.ts'
import type { Clock } from '../runtime/clock.ts'

/** The answer of a process; rejects when there is none within `ms`. */
export async function inTime<T>(answer: Promise<T>, ms: number, clock: Clock): Promise<T> {
  const late = Promise.withResolvers<never>()
  const cancelTimer = clock.after(ms, () => late.reject(noAnswer()))
  try {
    return await Promise.race([answer, late.promise])
  } finally {
    cancelTimer()
  }
}

/** What a client or an operator is told meanwhile. */
export function noAnswer(): RouterError {
  const message = 'no process of the router answers at this moment'
  return new RouterError('no_available_worker', message, { retryAfter: 1 })
}
