import type { Booking, Candidate, SelectionPolicy, SelectionRequest } from './policy.ts'

/**
 * A policy of the user's own, whose mistakes are named: the built-in ones are held to the contract by tests instead.
 *
 * Without a choice a request cannot go on; what the policy is only told of goes on without it, and a failure of it is
 * reported once, as a warning of the process.
 *
 * @throws TypeError where it is no policy; its `select` then throws where a choice is none
 */
export function checkedPolicy(name: string, policy: SelectionPolicy): SelectionPolicy {
  if (typeof policy?.select !== 'function')
    throw new TypeError(`the selection policy ${JSON.stringify(name)} has no function select`)
  const guard = guardOf(name)
  return {
    // Read when it is asked for: a policy says of each choice why it was made.
    get why() {
      return policy.why ?? 'custom'
    },
    ...(policy.reads !== undefined && { reads: policy.reads }),
    ...(policy.book !== undefined && {
      book: (candidate: Candidate, request: SelectionRequest) =>
        guardedBooking(
          guard('book', () => policy.book?.(candidate, request)),
          guard,
        ),
    }),
    ...(policy.counted !== undefined && {
      counted: (model: string | undefined, bytes: number, tokens: number) =>
        void guard('counted', () => policy.counted?.(model, bytes, tokens)),
    }),
    ...(policy.forget !== undefined && {
      forget: (id: string) => void guard('forget', () => policy.forget?.(id)),
    }),
    ...(policy.finish !== undefined && {
      finish: (session: string) => void guard('finish', () => policy.finish?.(session)),
    }),
    ...(policy.preview !== undefined && {
      preview<C extends Candidate>(candidates: readonly C[], request: SelectionRequest): C | undefined {
        const chosen = guard('preview', () => policy.preview?.(candidates, request))
        return chosen !== undefined && candidates.includes(chosen) ? chosen : undefined
      },
    }),
    select<C extends Candidate>(candidates: readonly C[], request: SelectionRequest): C {
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

/** Calls what may fail; undefined where it does. */
type Guard = <Result>(what: string, call: () => Result) => Result | undefined

/** Reports the first failure of each function of the policy. */
function guardOf(name: string): Guard {
  const reported = new Set<string>()
  const report = (what: string, error: unknown): void => {
    if (reported.has(what)) return
    reported.add(what)
    process.emitWarning(
      `the function ${what} of the selection policy ${JSON.stringify(name)} threw an error: ${String(error)}`,
    )
  }
  return (what, call) => {
    try {
      const result = call()
      if (result instanceof Promise) result.catch((error: unknown) => report(what, error))
      return result
    } catch (error) {
      report(what, error)
      return undefined
    }
  }
}

/** A policy that is not written in TypeScript may also return none. */
function guardedBooking(booking: Booking | undefined, guard: Guard): Booking {
  return {
    expected: booking?.expected,
    firstToken: () => void guard('firstToken', () => booking?.firstToken?.()),
    end: () => void guard('end', () => booking?.end?.()),
  }
}

function kindOf(value: unknown): string {
  if (value === undefined) return 'nothing'
  if (value instanceof Promise) return 'a promise'
  return value === null ? 'null' : 'something else'
}
