/** The process behind `stream-load.ts`: a plan comes first, then `take` for what was seen. */

import { monotonicClock } from '../monotonic-clock.ts'
import { StreamClient, type StreamPlan } from './stream-client.ts'

let client: StreamClient | undefined

process.on('message', (message: 'take' | { plan: StreamPlan }) => {
  if (message === 'take') process.send?.(client?.take())
  else {
    client = new StreamClient(message.plan, monotonicClock())
    client.start()
  }
})
process.once('disconnect', () => process.exit(0))
