import type { Candidate, SelectionPolicy } from './policy.ts'

/**
 * A policy of the user's own, whose mistakes are named: the built-in ones are held to the contract by tests instead.
 *
 * @throws TypeError where it is no policy; its `select` then throws where a choice is none
 */
export function checkedPolicy(name: string, policy: SelectionPolicy): SelectionPolicy {
  if (typeof policy?.select !== 'function')
    throw new TypeError(`the selection policy ${JSON.stringify(name)} has no function select`)
  return {
    // Read when it is asked for: a policy says of each choice why it was made.
    get why() {
      return policy.why ?? 'custom'
    },
    ...(policy.reads !== undefined && { reads: policy.reads }),
    ...(policy.book !== undefined && { book: policy.book.bind(policy) }),
    ...(policy.counted !== undefined && { counted: policy.counted.bind(policy) }),
    ...(policy.forget !== undefined && { forget: policy.forget.bind(policy) }),
    ...(policy.finish !== undefined && { finish: policy.finish.bind(policy) }),
    select<C extends Candidate>(
      candidates: readonly C[],
      request: Parameters<SelectionPolicy['select']>[1],
    ): C {
      let chosen: C
      try {
        chosen = policy.select(candidates, request)
      } catch (cause) {
        throw new Error(`the selection policy ${JSON.stringify(name)} threw an error: ${String(cause)}`, {
          cause,
        })
      }
      if (candidates.includes(chosen)) return chosen
      throw new TypeError(
        `the selection policy ${JSON.stringify(name)} returned ${kindOf(chosen)}; it must return one of its candidates`,
      )
    },
  }
}

function kindOf(value: unknown): string {
  if (value === undefined) return 'nothing'
  if (value instanceof Promise) return 'a promise'
  return value === null ? 'null' : 'something else'
}
