import type { Context, MiddlewareHandler } from 'hono'
import { type Standing, standingOf } from '../http/priority.ts'
import type { Admission } from '../policies/limits/admission-queue.ts'
import type { Slot } from '../policies/limits/slots.ts'
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
    const standing = standingOf(c.get('tenant'), c.env.incoming.headers)
    const slot = queue.tryEnter(standing)
    if (slot === undefined) return waitForTurn(queue, standing, c, next)
    c.get('onEnd')(() => slot.release())
    return next()
  }
}

async function waitForTurn(
  queue: Admission,
  standing: Standing,
  c: Context<GatewayEnv>,
  next: () => Promise<void>,
): Promise<void> {
  const slot: Slot = await queue.wait(c.get('stopSignal')(), standing)
  c.get('onEnd')(() => slot.release())
  return next()
}
