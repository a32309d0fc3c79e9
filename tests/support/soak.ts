/** Long tests run in a short form unless ROUTER_SOAK=1 asks for the full one. */
export const soaking = process.env.ROUTER_SOAK === '1'

/** The full figure in a soak run, else the short one. */
export function sized<T>(full: T, short: T): T {
  return soaking ? full : short
}
