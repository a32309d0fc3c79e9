/** The process behind `load-process.ts`: an order comes first, then `take` for what was seen. */

import { monotonicClock } from '../monotonic-clock.ts'
import type { LoadOrder } from './load-process.ts'
import { RateClient } from './rate-client.ts'
import { StreamClient } from './stream-client.ts'

let client: StreamClient | RateClient | undefined

process.on('message', (message: 'take' | LoadOrder) => {
  if (message === 'take') return void process.send?.(client?.take())
  const now = monotonicClock()
  client =
    message.kind === 'streams' ? new StreamClient(message.plan, now) : new RateClient(message.plan, now)
  client.start()
})
process.once('disconnect', () => process.exit(0))
process.send?.('ready')
