import type { Candidate, ConfigInput, SelectionPolicy } from 'vllm-router'

/** Requests that one worker may have open before the next one is used. */
const spillAt = 2

/**
 * Fills the workers in the order in which they are given, for a fleet whose last machines are the expensive ones: the
 * first worker that has room; when none has, the one with the fewest requests open.
 */
function preferFirst(): SelectionPolicy {
  return {
    select<C extends Candidate>(candidates: readonly C[]): C {
      const withRoom = candidates.find(({ inFlight }) => inFlight < spillAt)
      return withRoom ?? candidates.reduce((least, next) => (next.inFlight < least.inFlight ? next : least))
    },
  }
}

export default {
  selectionPolicies: { prefer_first: preferFirst },
  policy: 'prefer_first',
} satisfies ConfigInput
