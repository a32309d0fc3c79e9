import { type Standing, usualStanding } from '../../http/priority.ts'
import type { Admission } from '../../policies/limits/admission-queue.ts'
import type { Slot } from '../../policies/limits/slots.ts'
import type { SupervisorCalls } from './calls.ts'

/** The part of a channel that an admission needs. */
export interface AdmissionChannel {
  call(name: 'enter', order: SupervisorCalls['enter'][0]): Promise<SupervisorCalls['enter'][1]>
  tell(name: 'leave', ticket: number): void
}

/** Slots of the supervisor's queue: every request of every process stands in the same line. */
export class RemoteAdmission implements Admission {
  readonly #channel: AdmissionChannel
  #tickets = 0

  constructor(channel: AdmissionChannel) {
    this.#channel = channel
  }

  tryEnter(): undefined {
    return undefined
  }

  wait(signal: AbortSignal, standing?: Standing): Promise<Slot> {
    if (signal.aborted) return Promise.reject(signal.reason)
    const ticket = this.#tickets++
    const order = standing === usualStanding ? { ticket } : { ticket, standing }
    const release = once(() => this.#channel.tell('leave', ticket))
    return new Promise((resolve, reject) => {
      // At once, not when the supervisor has answered: others wait for that place.
      const onAbort = (): void => {
        release()
        reject(signal.reason)
      }
      signal.addEventListener('abort', onAbort)
      this.#channel
        .call('enter', order)
        .then(() => resolve({ release }), reject)
        .finally(() => signal.removeEventListener('abort', onAbort))
    })
  }
}

function once(run: () => void): () => void {
  let done = false
  return () => {
    if (!done) run()
    done = true
  }
}
