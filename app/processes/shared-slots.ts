import type { Standing } from '../../http/priority.ts'
import type { AdmissionQueue } from '../../policies/limits/admission-queue.ts'
import type { Slot } from '../../policies/limits/slots.ts'

/** The slots of one process in the supervisor's queue, by the tickets of that process. */
export class SharedSlots {
  readonly #queue: AdmissionQueue
  readonly #held = new Map<number, Slot>()
  readonly #waiting = new Map<number, AbortController>()

  constructor(queue: AdmissionQueue) {
    this.#queue = queue
  }

  /** Resolves when the ticket has its slot; rejects with the queue's RouterError. */
  async enter(ticket: number, standing?: Standing): Promise<null> {
    const free = this.#queue.tryEnter(standing)
    if (free !== undefined) {
      this.#held.set(ticket, free)
      return null
    }
    const waiting = new AbortController()
    this.#waiting.set(ticket, waiting)
    try {
      const slot = await this.#queue.wait(waiting.signal, standing)
      // It left in the very moment in which it got its turn.
      if (waiting.signal.aborted) slot.release()
      else this.#held.set(ticket, slot)
      return null
    } finally {
      this.#waiting.delete(ticket)
    }
  }

  /** Gives back what the ticket has: a slot, or a place in the line. */
  leave(ticket: number): null {
    this.#waiting.get(ticket)?.abort()
    this.#held.get(ticket)?.release()
    this.#held.delete(ticket)
    return null
  }

  /** The process is gone, and all its requests with it. */
  leaveAll(): void {
    for (const ticket of [...this.#waiting.keys(), ...this.#held.keys()]) this.leave(ticket)
  }
}
