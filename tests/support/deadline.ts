/**
 * Waiting in tests: never without a deadline, and never without a name for what was waited for.
 * A test that hangs says nothing; one that fails with "the worker's connection was not closed within 500 ms" says all.
 */

export class DeadlineError extends Error {
  override readonly name = 'DeadlineError'
}

/**
 * The value of `promise`, or a `DeadlineError` that names `what` after `ms` milliseconds.
 * The promise itself goes on: nothing can stop it from outside.
 */
export async function within<T>(ms: number, promise: PromiseLike<T>, what: string): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const deadline = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new DeadlineError(`${what}: not within ${ms} ms`)), ms)
  })
  try {
    return await Promise.race([promise, deadline])
  } finally {
    clearTimeout(timer)
  }
}

export interface Polling {
  /** What is waited for; the first words of the error. */
  readonly what: string
  /** Milliseconds, default 5000. */
  readonly withinMs?: number
  /** Milliseconds between two looks, default 10. */
  readonly everyMs?: number
}

type Truthy<T> = Exclude<T, false | 0 | 0n | '' | null | undefined>

/**
 * Looks until `check` returns something truthy (an error thrown means "not yet") and returns that.
 * `undefined` means "not yet" too, so that `() => list.find(...)` waits: for a check made of assertions, which returns
 * nothing when all is well, there is `eventuallyHolds`.
 */
export async function eventually<T>(check: () => T | PromiseLike<T>, polling: Polling): Promise<Truthy<T>> {
  const { what, withinMs = 5000, everyMs = 10 } = polling
  const deadline = performance.now() + withinMs
  let last: { value: unknown } | { error: unknown } = { value: undefined }
  for (;;) {
    const left = deadline - performance.now()
    if (left <= 0) throw tooLate(what, withinMs, last)
    try {
      const value = await within(left, Promise.resolve(check()), 'one look')
      if (value) return value as Truthy<T>
      last = { value }
    } catch (error) {
      last = { error }
    }
    await pause(everyMs)
  }
}

/** Looks until `assertions` passes without throwing. The last failure is the `cause` of the error. */
export async function eventuallyHolds(assertions: () => unknown, polling: Polling): Promise<void> {
  await eventually(async () => {
    await assertions()
    return true
  }, polling)
}

function tooLate(what: string, ms: number, last: { value: unknown } | { error: unknown }): DeadlineError {
  if ('error' in last) {
    const said = last.error instanceof Error ? last.error.message : String(last.error)
    return new DeadlineError(`${what}: not within ${ms} ms; at the last look: ${said}`, { cause: last.error })
  }
  return new DeadlineError(`${what}: not within ${ms} ms; the last look gave ${String(last.value)}`)
}

/** For scripts in which the time itself matters, such as a slow worker. Not a way to wait for something to happen. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
