import type { Context, MiddlewareHandler } from 'hono'
import { standingOf } from '../http/priority.ts'
import type { Admission, Slot } from '../policies/limits/admission-queue.ts'
import type { GatewayEnv } from './gateway-env.ts'

export interface AdmissionOptions {
  /** Hands out the slots; its owner reads the gauges and changes the limits. */
  readonly queue: Admission
}

/**
 * Holds a slot of the queue from here to the last byte of the response: a stream counts for as long as it runs. Whose
 * turn comes when is decided by the tenant, and by the header `x-priority` (`standingOf`).
 *
 * @throws RouterError `queue_full`, `queue_timeout`, `client_closed`.
 */
export function admission({ queue }: AdmissionOptions): MiddlewareHandler<GatewayEnv> {
  return function admission(c, next) {
    const slot = queue.tryEnter()
    if (slot === undefined) return waitForTurn(queue, c, next)
    c.get('onEnd')(() => slot.release())
    return next()
  }
}

async function waitForTurn(
  queue: Admission,
  c: Context<GatewayEnv>,
  next: () => Promise<void>,
): Promise<void> {
  const slot: Slot = await queue.wait(
    c.get('stopSignal')(),
    standingOf(c.get('tenant'), c.env.incoming.headers),
  )
  c.get('onEnd')(() => slot.release())
  return next()
}
