import type { SelectionPolicy } from '../../policies/selection/policy.ts'
import type { Ranks } from './ranks.ts'

/**
 * The pool's policy for those who only tell it things: always the one of the current configuration, and with it the
 * policies of the data-parallel ranks.
 */
export class ToldPolicy {
  readonly #current: () => SelectionPolicy
  readonly #ranks: Ranks | undefined

  constructor(current: () => SelectionPolicy, ranks: Ranks | undefined) {
    this.#current = current
    this.#ranks = ranks
  }

  /** What it wants to know of each request. */
  get reads(): SelectionPolicy['reads'] {
    return this.#current().reads
  }

  counted(model: string | undefined, bytes: number, tokens: number): void {
    this.#current().counted?.(model, bytes, tokens)
    this.#ranks?.counted(model, bytes, tokens)
  }

  finish(session: string): void {
    this.#current().finish?.(session)
    this.#ranks?.finish(session)
  }
}
