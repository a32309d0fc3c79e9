import { leastInflight } from './least-inflight.ts'
import type { SelectionContext, SelectionPolicy } from './policy.ts'
import { random } from './random.ts'
import { roundRobin } from './round-robin.ts'

export type SelectionPolicyFactory = (context: SelectionContext) => SelectionPolicy

/** Every built-in policy by the name that `--policy` takes. The contract suite of the tests runs over this list. */
export const selectionPolicies: Readonly<Record<string, SelectionPolicyFactory>> = {
  round_robin: roundRobin,
  random,
  least_inflight: leastInflight,
}
