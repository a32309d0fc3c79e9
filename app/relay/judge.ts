import type { Outcome } from '../../policies/resilience/outcome.ts'
import { isRetryableStatus } from '../../policies/resilience/retry.ts'
import type { TransportError } from '../runtime/http-client.ts'
import { noRoom } from '../spare-connections.ts'
import { AttemptFailure, type HeldAnswer } from './attempt-failure.ts'
import type { WorkerError } from './grammar.ts'
import { headerOf } from './headers.ts'

/** Longest time a worker may ask to be left alone. */
const maxCoolDownMs = 60_000

/** What the end of a connection before the commit means. */
export function judgeTransport(error: TransportError): AttemptFailure {
  const common = { reason: error.message, outcome: 'failure', retryable: true } as const
  switch (error.fault) {
    case 'unreachable':
      return new AttemptFailure({
        ...common,
        code: 'worker_unreachable',
        message: 'no connection to a worker came about',
        unreachable: true,
      })
    case 'aborted':
      // Our own doing, and no death of the worker.
      return new AttemptFailure({
        ...common,
        code: 'worker_unreachable',
        message: 'the exchange was ended by the router',
      })
    case 'exhausted':
      return new AttemptFailure({
        ...common,
        code: 'no_available_worker',
        message: noRoom,
        outcome: 'neutral',
        retryable: false,
        noRoom: true,
      })
    case 'reset':
      return new AttemptFailure({
        ...common,
        code: 'worker_unreachable',
        message: 'the worker closed the connection before it answered',
        died: true,
      })
    case 'protocol':
      return new AttemptFailure({
        ...common,
        code: 'bad_worker_response',
        message: 'the worker sent something that is not a valid HTTP response',
      })
  }
}

/** What a worker's answer means that is not relayed as it comes; undefined when it is to be relayed. */
export function judgeAnswer(answer: HeldAnswer): AttemptFailure | undefined {
  const { status } = answer
  // 304 sends nobody elsewhere: it answers a conditional request.
  if (status >= 300 && status < 400 && status !== 304) {
    return new AttemptFailure({
      code: 'bad_worker_response',
      message: 'the worker answered with a redirect, which the router does not follow',
      reason: `status ${status}, a redirect`,
      outcome: 'neutral',
      retryable: true,
    })
  }
  if (!isRetryableStatus(status)) return undefined
  const outcome = outcomeOfStatus(status)
  return new AttemptFailure({
    code: 'bad_worker_response',
    message: `the worker answered with status ${status}`,
    reason: `status ${status}`,
    outcome,
    retryable: true,
    coolDownMs: outcome === 'neutral' ? retryAfterMs(answer) : 0,
    answer,
  })
}

/** What an error event means that came before any content. A client's own mistake would be one on every worker. */
export function judgeFirstEvent(error: WorkerError, answer: HeldAnswer): AttemptFailure | undefined {
  if (!isRetryableStatus(error.status)) return undefined
  return new AttemptFailure({
    code: 'bad_worker_response',
    message: 'the worker reported an error at the start of its stream',
    reason: `error event ${error.status} before any content`,
    outcome: outcomeOfStatus(error.status),
    retryable: true,
    answer,
  })
}

/** A worker that is busy (429, 503) or gave up waiting (408) is not sick; a client's mistake is the worker's success. */
export function outcomeOfStatus(status: number): Outcome {
  if (status === 503 || status === 429 || status === 408) return 'neutral'
  return status >= 500 ? 'failure' : 'success'
}

/** `Retry-After` in seconds or as a date; 0 when there is none. */
function retryAfterMs({ headers }: HeldAnswer): number {
  const value = headerOf(headers, 'retry-after')
  if (value === undefined) return 0
  const seconds = /^\d+$/.test(value.trim()) ? Number(value) * 1000 : Date.parse(value) - Date.now()
  return Number.isFinite(seconds) ? Math.min(Math.max(seconds, 0), maxCoolDownMs) : 0
}
