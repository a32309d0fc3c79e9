import type { TenantLimits } from '../../http/tenant.ts'

/** Of each limit per minute, in this order. */
export type Amounts = readonly [requests: number, prompt: number, completion: number]

export const noAmounts: Amounts = [0, 0, 0]

/** What one process tells of a tenant, and asks for. */
export interface ShareRequest {
  readonly limits: TenantLimits
  /** Used beyond what was granted before; negative: granted and given back. It counts whether there is room or not. */
  readonly charge: Amounts
  /** To be granted as far as there is room: from then on it counts as used. */
  readonly want: Amounts
  /** Requests in flight that it wants to hold in all, those that it has included. */
  readonly slots: number
}

/** What the store says to that. */
export interface ShareAnswer {
  readonly granted: Amounts
  /** Used up by all processes together, what was granted included. */
  readonly used: Amounts
  /** Requests in flight that the process may hold in all. */
  readonly slots: number
  /** Those that all processes hold together. */
  readonly slotsHeld: number
}

/**
 * Where the processes of one router, or several routers, agree on how much a tenant has used up. A process takes shares
 * from it ahead of the requests, and spends them without asking.
 */
export interface LimitsStore {
  /** As far as is known; what it does not say while false is not waited for. */
  readonly isUp: boolean
  /** Rejects when there is no answer within a moment: with `LateAnswer` where it may still come. */
  exchange(tenant: string, request: ShareRequest): Promise<ShareAnswer>
}

/** The store was not waited for any longer. It may have done what it was asked all the same. */
export class LateAnswer extends Error {
  /** What it says in the end, if anything. */
  readonly answer: Promise<ShareAnswer>

  constructor(message: string, answer: Promise<ShareAnswer>) {
    super(message)
    this.answer = answer
  }
}

export function perMinute({
  requestsPerMinute: requests = Number.POSITIVE_INFINITY,
  promptTokensPerMinute: prompt = Number.POSITIVE_INFINITY,
  completionTokensPerMinute: completion = Number.POSITIVE_INFINITY,
}: TenantLimits): Amounts {
  return [requests, prompt, completion]
}
