import type { SelectionPolicy, SelectionRequest, Why } from '../../policies/selection/policy.ts'
import type { PassedOver } from '../request/request-view.ts'
import { type Choice, fitting, type PoolRequest, withPrompt } from './choice.ts'
import type { Ranks } from './ranks.ts'
import type { SlowStart } from './slow-start.ts'
import type { Worker } from './worker.ts'

/** Where a request would go now, and why. */
export interface Preview {
  readonly candidates: readonly Worker[]
  readonly passedOver: readonly PassedOver[]
  /** Undefined where nobody can take it, or where the policy cannot tell. */
  readonly worker: Worker | undefined
  readonly why: Why | undefined
  /** Undefined where there is only one, or where the policy cannot tell. */
  readonly rank: number | undefined
}

export interface PreviewOptions {
  /** What a look at all workers has found. */
  readonly choice: Choice
  readonly policy: SelectionPolicy
  readonly slowStart: SlowStart
  readonly ranks: Ranks | undefined
}

export function preview(request: PoolRequest, { choice, policy, slowStart, ranks }: PreviewOptions): Preview {
  const within = slowStart.withinShare(choice.candidates)
  const candidates = fitting(within, choice, request)
  const passedOver = [
    // The only one there is may be asked although its breaker forbids it.
    ...choice.passedOver.filter(({ worker }) => !candidates.some(({ url }) => url === worker)),
    ...without(choice.candidates, within, 'slow_start'),
    ...without(within, candidates, 'context_too_short'),
  ]
  const asked: SelectionRequest =
    policy.reads === undefined ? choice.request : withPrompt(choice.request, request)
  const worker = candidates.length === 0 ? undefined : policy.preview?.(candidates, asked)
  return {
    candidates,
    passedOver,
    worker,
    why: worker === undefined ? undefined : (policy.why ?? 'custom'),
    rank: worker === undefined ? undefined : ranks?.preview(worker.id, asked),
  }
}

function without(all: readonly Worker[], left: readonly Worker[], reason: string): PassedOver[] {
  return all.filter((worker) => !left.includes(worker)).map(({ url }) => ({ worker: url, reason }))
}

/** It can take a request about what only it has. One that drains can: it still has it. */
export function isClaimable(worker: Worker): boolean {
  const reason = worker.unavailable(undefined)
  return reason === undefined || (reason === 'draining' && worker.breaker?.allows() !== false)
}
