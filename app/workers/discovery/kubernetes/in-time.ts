import type { Clock } from '../../../runtime/clock.ts'
import type { PendingAnswer } from '../../../upstream/http-client.ts'

/** The result of `work` on an answer, which is aborted when that takes longer than `ms`. */
export async function inTime<T>(
  { clock, ms }: { readonly clock: Clock; readonly ms: number },
  pending: PendingAnswer,
  work: () => Promise<T>,
): Promise<T> {
  let late = false
  const cancelTimer = clock.after(ms, () => {
    late = true
    pending.abort()
  })
  try {
    return await work()
  } catch (error) {
    throw late ? new Error(`no answer within ${ms / 1000} s`) : error
  } finally {
    cancelTimer()
  }
}
