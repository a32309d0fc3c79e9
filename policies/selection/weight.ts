import type { Candidate } from './policy.ts'
import { mix } from './rendezvous.ts'

/** How loaded the worker would be with one request more, measured by its weight. */
export function loadOf({ inFlight, weight }: Candidate): number {
  return (inFlight + 1) / weight
}

/**
 * The rank of a worker for a key: the highest one is the key's home (weighted rendezvous hashing). Of all keys, a worker
 * is home to as many as its weight is of all weights. With equal weights the order is that of the hashes.
 * @param number of the worker, from its id
 */
export function rankOf(key: number, number: number, weight: number): number {
  return -weight / Math.log((mix(key, number) + 0.5) / 2 ** 32)
}
