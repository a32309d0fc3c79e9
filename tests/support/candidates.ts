import fc from 'fast-check'
import type { Candidate } from '../../policies/selection/policy.ts'

/** What a policy sees of a worker; here it may change. */
export type Facts = { -readonly [Key in keyof Candidate]: Candidate[Key] }

export function candidate(ordinal: number, inFlight = 0): Facts {
  return { id: `worker-${ordinal}`, ordinal, inFlight, weight: 1 }
}

/** So many candidates with the same load, in order of registration. */
export function candidates(count: number, inFlight = 0): Facts[] {
  return Array.from({ length: count }, (_, ordinal) => candidate(ordinal, inFlight))
}

/** One to `maxLength` candidates with gaps between their ordinals and any load. */
export function anyCandidates(maxLength = 12): fc.Arbitrary<Facts[]> {
  const one = fc.record({ ordinal: fc.nat(50), inFlight: fc.nat(5) })
  return fc
    .uniqueArray(one, { minLength: 1, maxLength, selector: ({ ordinal }) => ordinal })
    .map((list) =>
      list.sort((a, b) => a.ordinal - b.ordinal).map(({ ordinal, inFlight }) => candidate(ordinal, inFlight)),
    )
}

/** How often each candidate was chosen, those never chosen included. */
export function tally(all: readonly Candidate[], chosen: readonly Candidate[]): number[] {
  return all.map(({ id }) => chosen.filter((one) => one.id === id).length)
}
