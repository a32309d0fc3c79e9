import { incomingFromRequest } from '../../http/incoming.ts'
import { openStream } from './open-stream.ts'
import type { ClientRequest } from './runtime.ts'

/** A connection over nothing but a web `Request`: for the library's `fetch`, where no listener of ours is involved. */
export function plainRequest(request: Request): ClientRequest {
  const onGone = (listener: () => void): void => {
    if (request.signal.aborted) listener()
    else request.signal.addEventListener('abort', listener, { once: true })
  }
  return Object.assign(incomingFromRequest(request), { openStream, onGone })
}
