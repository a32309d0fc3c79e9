import { RouterError } from '../../http/errors.ts'
import type { Clock } from '../runtime/clock.ts'

/** Why a request must end before its answer does. */
export type StopReason = 'client_closed' | 'request_timeout' | 'draining'

const messages: Record<StopReason, string> = {
  client_closed: 'the client closed the connection',
  request_timeout: 'the request took longer than its time limit',
  draining: 'the router is shutting down and the grace time is over',
}

/**
 * The one way by which a request is ended from outside: the client leaves, its time is up, or the router drains.
 * `app/api/account.ts` hears that the client has left, and that its time is up.
 *
 * Whatever the request is waiting for at that moment (a worker's head, an event, a pause before a retry) puts itself
 * into `waiting`, and is told at once.
 */
export class Stop {
  #reason: StopReason | undefined
  #controller: AbortController | undefined
  /** What must be interrupted now; one thing at a time. */
  waiting: ((reason: StopReason) => void) | undefined

  get reason(): StopReason | undefined {
    return this.#reason
  }

  /** The first reason counts. */
  because(reason: StopReason): void {
    if (this.#reason !== undefined) return
    this.#reason = reason
    this.waiting?.(reason)
    this.#controller?.abort(stopError(reason))
  }

  /** The same as a signal, whose reason is the RouterError; for what waits outside of the relay. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController()
      if (this.#reason !== undefined) this.#controller.abort(stopError(this.#reason))
    }
    return this.#controller.signal
  }

  throwIfStopped(): void {
    if (this.#reason !== undefined) throw stopError(this.#reason)
  }

  /** Waits; rejects with the RouterError as soon as the request is stopped. */
  async sleep(ms: number, clock: Clock): Promise<void> {
    this.throwIfStopped()
    await new Promise<void>((resolve) => {
      const cancelTimer = clock.after(ms, resolve)
      this.waiting = () => {
        cancelTimer()
        resolve()
      }
    })
    this.waiting = undefined
    this.throwIfStopped()
  }
}

export function stopError(reason: StopReason): RouterError {
  return new RouterError(reason, messages[reason], reason === 'draining' ? { retryAfter: 1 } : {})
}
