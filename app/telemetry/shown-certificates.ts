import type { ServerTls } from '../runtime/server-tls.ts'
import type { Log } from './log.ts'
import type { Metrics } from './metrics.ts'

/** Makes what is told, in metrics and log, of each certificate that a listener shows from then on. */
export function shownCertificates(metrics: Metrics, log: Log): (listener: string, tls: ServerTls) => void {
  return function shown(listener, { expiresAt, selfSigned }) {
    metrics.certificateExpiry.set({ listener }, expiresAt / 1000)
    const details = { listener, expires: new Date(expiresAt).toISOString() }
    if (!selfSigned) log.info(details, 'certificate shown')
    else log.warn(details, 'certificate shown that no authority has signed: clients must be told to trust it')
  }
}
