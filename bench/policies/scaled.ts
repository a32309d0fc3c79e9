import type { SimulatedRequest } from './engine.ts'
import { type FleetSpec, fleet, simulate } from './simulation.ts'

/**
 * A workload with its arrivals stretched so that taking turns would keep the fleet busy for `load` of the time.
 */
export function scaled(
  requests: readonly SimulatedRequest[],
  load: number,
  spec: FleetSpec = fleet,
): { readonly requests: readonly SimulatedRequest[]; readonly seconds: number } {
  const seconds = secondsAtOnce(requests, spec) / load
  const last = requests.reduce((latest, { at }) => Math.max(latest, at), 0) || 1
  return { requests: requests.map((one) => ({ ...one, at: (one.at / last) * seconds })), seconds }
}

const atOnce = new WeakMap<readonly SimulatedRequest[], number>()

/** How long the fleet takes when all requests come at once and workers take turns. */
function secondsAtOnce(requests: readonly SimulatedRequest[], spec: FleetSpec): number {
  let seconds = atOnce.get(requests)
  if (seconds === undefined) {
    let turn = 0
    seconds = simulate({
      requests: requests.map((one) => ({ ...one, at: 0, ...(one.after !== undefined && { think: 0 }) })),
      createPolicy: () => ({ select: (candidates) => candidates[turn++ % candidates.length]! }),
      spec,
    }).seconds
    atOnce.set(requests, seconds)
  }
  return seconds
}
