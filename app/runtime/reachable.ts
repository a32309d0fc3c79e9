import { connect } from 'node:net'

/** Whether a TCP connection to the origin comes about within `timeoutMs`. */
export function reachable(origin: string, timeoutMs: number): Promise<boolean> {
  const { hostname, port, protocol } = new URL(origin)
  const host = hostname.replace(/^\[|\]$/g, '')
  return new Promise((resolve) => {
    const socket = connect({ host, port: Number(port || (protocol === 'https:' ? 443 : 80)) })
    const timer = setTimeout(() => finish(false), timeoutMs)
    function finish(connected: boolean): void {
      clearTimeout(timer)
      socket.destroy()
      resolve(connected)
    }
    socket.once('connect', () => finish(true))
    socket.once('error', () => finish(false))
  })
}
