import { isRetryableStatus } from '../../policies/resilience/retry.ts'
import type { TransportError } from '../upstream/http-client.ts'
import { noRoom } from '../upstream/open-files.ts'
import type { Lease } from '../workers/lease.ts'
import { AttemptFailure, type FailureDetails, type HeldAnswer } from './attempt-failure.ts'
import { firstHeader } from './headers.ts'
import { type Fault, verdictOn } from './verdicts.ts'
import { answersShutdown, readWorkerError, saysShutdown, type WorkerError } from './worker-error.ts'

type Told = Pick<FailureDetails, 'fault' | 'code' | 'message'>

const transportFaults: Record<TransportError['fault'], Told> = {
  unsendable: {
    fault: 'unsendable',
    code: 'invalid_request',
    message: 'The request has a path or a header with bytes that cannot be sent to a worker.',
  },
  unreachable: {
    fault: 'unreachable',
    code: 'worker_unreachable',
    message: 'could not connect to a worker',
  },
  aborted: {
    fault: 'ended_by_router',
    code: 'worker_unreachable',
    message: 'the exchange was ended by the router',
  },
  exhausted: { fault: 'no_connection_left', code: 'no_available_worker', message: noRoom },
  reset: {
    fault: 'connection_lost',
    code: 'worker_unreachable',
    message: 'the worker closed the connection before it answered',
  },
  protocol: {
    fault: 'not_http',
    code: 'bad_worker_response',
    message: 'the worker sent something that is not a valid HTTP response',
  },
}

/** What the end of a connection before the commit means. */
export function judgeTransport(error: TransportError): AttemptFailure {
  return new AttemptFailure({ ...transportFaults[error.fault], reason: error.message })
}

/** What a worker's answer means that is not relayed as it comes; undefined when it is to be relayed. */
export function judgeAnswer(answer: HeldAnswer): AttemptFailure | undefined {
  const { status } = answer
  // 304 sends nobody elsewhere: it answers a conditional request.
  if (status >= 300 && status < 400 && status !== 304) {
    return new AttemptFailure({
      fault: 'redirect',
      code: 'bad_worker_response',
      message: 'the worker answered with a redirect, which the router does not follow',
      reason: `status ${status}, a redirect`,
    })
  }
  if (!isRetryableStatus(status)) return undefined
  const fault = faultOfAnswer(answer)
  if (fault === 'client_mistake') return undefined
  return new AttemptFailure({
    fault,
    code: 'bad_worker_response',
    message: `the worker answered with status ${status}`,
    reason: `status ${status}`,
    retryAfterMs: retryAfterMs(answer),
    answer,
  })
}

/** A status says most; the words of a 500 may say that it is none of the worker's own. */
function faultOfAnswer({ status, body }: HeldAnswer): Fault {
  if (status === 503 || status === 429) return 'busy'
  if (status === 408) return 'waited_too_long'
  if (answersShutdown(body)) return 'shutting_down'
  const words = readWorkerError(body)
  return words !== undefined && words.status < 500 ? 'client_mistake' : 'server_error'
}

/** What an error event means that came before any content. A client's own mistake would be one on every worker. */
export function judgeFirstEvent(error: WorkerError, answer: HeldAnswer): AttemptFailure | undefined {
  const fault = saysShutdown(error) ? 'shutting_down' : faultOfError(error)
  if (fault === 'client_mistake') return undefined
  return new AttemptFailure({
    fault,
    code: 'bad_worker_response',
    message: 'the worker reported an error at the start of its stream',
    reason: `error event ${error.status} before any content`,
    answer,
  })
}

function faultOfError({ status }: WorkerError): Fault {
  if (status === 503 || status === 429) return 'busy'
  if (status === 408) return 'waited_too_long'
  return status >= 500 ? 'error_event' : 'client_mistake'
}

/** What an error means, by its status, that the worker reports when a part of the answer has been sent; undefined: nothing. */
export function faultWithin(status: number): Fault | undefined {
  if (status === 503 || status === 429 || status === 408) return 'refused_within'
  return status >= 500 ? 'reported_within' : undefined
}

/** @param isBusyWithOthers the worker has sent tokens to others in that time */
export function firstTokenTimeout(ms: number, isBusyWithOthers: boolean): AttemptFailure {
  return new AttemptFailure({
    fault: isBusyWithOthers ? 'first_token_overdue' : 'first_token_timeout',
    code: 'first_token_timeout',
    message: `no worker sent a first token within ${ms / 1000} s`,
    reason: `no first token within ${ms / 1000} s`,
  })
}

/** The probes found the worker dead or hung. */
export function letGo(): AttemptFailure {
  return new AttemptFailure({
    fault: 'let_go',
    code: 'worker_unreachable',
    message: 'the worker was found dead or hung before it answered',
    reason: 'worker found dead or hung',
  })
}

/** The fault of a stream that ended cleanly, and without any content. */
export function endedEarly(): AttemptFailure {
  return new AttemptFailure({
    fault: 'no_content',
    code: 'bad_worker_response',
    message: 'the worker ended its stream before any content',
    reason: 'stream ended before any content',
  })
}

/** Closes the books on a committed answer that ended with a fault: no attempt follows, and the fleet is asked. */
export function settleFault(lease: Lease, fault: Fault, reason: string): void {
  const { blame } = verdictOn(fault)
  if (blame === 'nobody' || blame === 'worker')
    lease.settle(blame === 'worker' ? 'failure' : 'neutral', reason)
  else lease.settleCompared(fault, reason)
}

/** `Retry-After` in seconds or as a date; 0 when there is none. */
function retryAfterMs({ headers }: HeldAnswer): number {
  const value = firstHeader(headers, 'retry-after')
  if (value === undefined) return 0
  const ms = /^\d+$/.test(value.trim()) ? Number(value) * 1000 : Date.parse(value) - Date.now()
  return Number.isFinite(ms) ? Math.max(ms, 0) : 0
}
