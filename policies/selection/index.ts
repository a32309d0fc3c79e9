import { cacheAware } from './cache-aware.ts'
import { checkedPolicy } from './checked.ts'
import { consistentHash } from './consistent-hash.ts'
import { leastInflight } from './least-inflight.ts'
import type { SelectionContext, SelectionPolicy } from './policy.ts'
import { powerOfTwo } from './power-of-two.ts'
import { random } from './random.ts'
import { rendezvousHash } from './rendezvous-hash.ts'
import { roundRobin } from './round-robin.ts'
import { stickyLeastLoaded } from './sticky-least-loaded.ts'

export type SelectionPolicyFactory = (context: SelectionContext) => SelectionPolicy

/** Every built-in policy by the name that `--policy` takes. The contract suite of the tests runs over this list. */
export const selectionPolicies: Readonly<Record<string, SelectionPolicyFactory>> = {
  round_robin: roundRobin,
  random,
  least_inflight: leastInflight,
  power_of_two: powerOfTwo,
  consistent_hash: consistentHash,
  rendezvous_hash: rendezvousHash,
  sticky_least_loaded: stickyLeastLoaded,
  cache_aware: cacheAware,
}

/**
 * The policy of that name, of the user's own or built in.
 *
 * @throws TypeError where there is none, or where it is no policy
 */
export function createPolicy(
  name: string,
  { own, ...context }: SelectionContext & { readonly own: Readonly<Record<string, SelectionPolicyFactory>> },
): SelectionPolicy {
  const custom = own[name]
  if (custom !== undefined) return checkedPolicy(name, custom(context))
  const create = selectionPolicies[name]
  if (create === undefined) throw new TypeError(`no selection policy is called ${name}`)
  return create(context)
}
