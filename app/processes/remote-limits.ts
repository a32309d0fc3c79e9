import {
  LateAnswer,
  type LimitsStore,
  type ShareAnswer,
  type ShareRequest,
} from '../../policies/limits/limits-store.ts'
import { type Clock, within } from '../runtime/clock.ts'
import type { SupervisorCalls } from './calls.ts'

/** The part of a channel that a store needs. */
export interface LimitsChannel {
  call(name: 'share', argument: SupervisorCalls['share'][0]): Promise<SupervisorCalls['share'][1]>
}

/** Milliseconds after which the supervisor is not waited for, and for which it is not asked again then. */
const answerMs = 1000
const restMs = 1000

/** What tenants have used up, as the supervisor keeps it for all processes. */
export class RemoteLimits implements LimitsStore {
  readonly #channel: LimitsChannel
  readonly #clock: Clock
  #restsUntil = Number.NEGATIVE_INFINITY

  constructor(channel: LimitsChannel, clock: Clock) {
    this.#channel = channel
    this.#clock = clock
  }

  get isUp(): boolean {
    return this.#clock.now() >= this.#restsUntil
  }

  async exchange(tenant: string, request: ShareRequest): Promise<ShareAnswer> {
    try {
      const answer = this.#channel.call('share', { tenant, request })
      const late = () => new LateAnswer(`no answer within ${answerMs} ms`, answer)
      return await within(this.#clock, answerMs, answer, late)
    } catch (error) {
      this.#restsUntil = this.#clock.now() + restMs
      throw error
    }
  }
}
