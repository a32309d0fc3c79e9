import { checkedPolicy } from './checked.ts'
import { leastInflight } from './least-inflight.ts'
import type { SelectionContext, SelectionPolicy } from './policy.ts'
import { random as randomPolicy } from './random.ts'
import { roundRobin } from './round-robin.ts'

export type SelectionPolicyFactory = (context: SelectionContext) => SelectionPolicy

/** Every built-in policy by the name that `--policy` takes. The contract suite of the tests runs over this list. */
export const selectionPolicies: Readonly<Record<string, SelectionPolicyFactory>> = {
  round_robin: roundRobin,
  random: randomPolicy,
  least_inflight: leastInflight,
}

/**
 * The policy of that name, of the user's own or built in.
 *
 * @throws TypeError where there is none, or where it is no policy
 */
export function createPolicy(
  name: string,
  { own, random }: SelectionContext & { readonly own: Readonly<Record<string, SelectionPolicyFactory>> },
): SelectionPolicy {
  const custom = own[name]
  if (custom !== undefined) return checkedPolicy(name, custom({ random }))
  const create = selectionPolicies[name]
  if (create === undefined) throw new TypeError(`no selection policy is called ${name}`)
  return create({ random })
}
