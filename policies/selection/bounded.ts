import type { Candidate } from './policy.ts'

/** A worker may have so many times the mean of open requests before a session spills to the next one. */
const most = 1.25

/**
 * The requests that a worker may have open before one more is too many for it (consistent hashing with bounded loads).
 * Never below 1, so that an idle fleet keeps its sessions.
 */
export function loadBound(candidates: readonly Candidate[]): number {
  let open = 0
  for (const { inFlight } of candidates) open += inFlight
  return Math.max(1, Math.ceil((most * (open + 1)) / candidates.length))
}
