import { setImmediate } from 'node:timers/promises'

/** Turns without a new connection after which the queue is taken for empty. */
const quietTurns = 3
/**
 * Milliseconds after which it is not waited for any longer: a client that connects faster than Node accepts never lets it
 * be empty. A process that was held up for seconds has hundreds of connections waiting, of a few milliseconds each.
 */
const longestMs = 5000

/**
 * Resolves when a listener has accepted the connections that the kernel has made for it. To close its socket before resets
 * them, with the requests that they carry. Bun accepts all of them in one turn of its event loop, Node one in each (24.21),
 * so that on a busy machine many wait.
 *
 * @param accepted how many it has accepted so far
 */
export async function acceptQueueEmpty(accepted: () => number): Promise<void> {
  const deadline = performance.now() + longestMs
  let before = accepted()
  for (let quiet = 0; quiet < quietTurns && performance.now() < deadline; quiet++) {
    await setImmediate()
    const now = accepted()
    if (now !== before) quiet = -1
    before = now
  }
}
