import type { Candidate } from './policy.ts'

/** A worker may have so many times the mean of open requests before a session spills to the next one. */
const most = 1.25

/**
 * The requests that a worker of weight 1 may have open before one more is too many for it (consistent hashing with bounded
 * loads).
 */
export function loadBound(candidates: readonly Candidate[]): number {
  let open = 0
  let weights = 0
  for (const { inFlight, weight } of candidates) {
    open += inFlight
    weights += weight
  }
  return (most * (open + 1)) / weights
}

/** One request more is not too many for this worker. Its first one never is, so that an idle fleet keeps its sessions. */
export function isWithin(bound: number, { inFlight, weight }: Candidate): boolean {
  return inFlight < Math.max(1, Math.ceil(bound * weight))
}
