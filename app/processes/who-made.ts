import type { Made } from '../api/response-state.ts'
import { type Clock, systemClock, within } from '../runtime/clock.ts'
import type { RouterProcess } from './router-process.ts'

/** Milliseconds that a process may take to say whether it knows. */
const answerMs = 2000

/**
 * Whose request made the response with this id; null where none of the processes knows, or says so in time.
 * @param asking the process that asks
 */
export async function whoMade(
  response: string,
  processes: readonly Pick<RouterProcess, 'id' | 'channel'>[],
  asking: number,
  clock: Clock = systemClock,
): Promise<Made | null> {
  const asked = processes
    .filter(({ id }) => id !== asking)
    .map(({ channel }) => within(clock, answerMs, channel.call('madeBy', response)).catch(() => null))
  return (await Promise.all(asked)).find((made) => made != null) ?? null
}
