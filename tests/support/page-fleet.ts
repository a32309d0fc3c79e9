/** A fleet with one worker of each trouble, some load on it, and one client that does it wrong. */

import { startFleet } from '../../sim/fleet.ts'
import { type SimulatedVllm, startSimulatedVllm } from '../../sim/server.ts'
import { pause } from './deadline.ts'
import { openConnection } from './raw-client.ts'
import { routerOver } from './router-over.ts'
import type { RouterProcess } from './router-process.ts'
import type { Scope } from './scope.ts'

export const chatModel = 'facebook/opt-350m'
/** Asked for by the client that does it wrong. */
export const wrongModel = 'no-such-model'
/** Its address. */
export const wrongClient = '127.0.0.9'

export interface TroubledFleet {
  readonly router: RouterProcess
  readonly good: readonly SimulatedVllm[]
  readonly slow: SimulatedVllm
  readonly refusing: SimulatedVllm
  readonly hung: SimulatedVllm
  readonly dead: SimulatedVllm
}

/** Milliseconds to the first token of the slow one. */
const slowMs = 2500

const pace = { ttftMs: 80, tokenMs: 12, jitter: 0.5 }

export interface TroubledFleetOptions {
  readonly good?: number
  readonly args?: readonly string[]
  readonly t: Scope
}

export async function startTroubledFleet({
  good = 3,
  args = [],
  t,
}: TroubledFleetOptions): Promise<TroubledFleet> {
  const fleet = await startFleet({ size: good + 3, ...pace })
  t.after(() => fleet.close())
  const slow = await startSimulatedVllm({ ...pace, ttftMs: slowMs, id: 'slow' })
  t.after(() => slow.close())
  const [refusing, hung, dead, ...others] = fleet.workers as readonly [
    SimulatedVllm,
    SimulatedVllm,
    SimulatedVllm,
    ...SimulatedVllm[],
  ]
  const router = await routerOver([...others, slow, refusing, hung, dead], {
    args: [
      ...['--health-check-interval-secs', '0.3', '--health-check-timeout-secs', '0.5'],
      ...['--worker-startup-check-interval', '0.2', ...args],
    ],
    t,
  })
  // Not before: the router is to have seen all of them well.
  refusing.setFault({ kind: 'status', status: 503, retryAfter: 4 })
  // A worker that sends tokens is alive, whatever its health says.
  hung.setFault({ kind: 'hang', at: 'after-head' })
  hung.setFault({ kind: 'slow-health', ms: 60_000 })
  dead.die()
  return { router, good: others, slow, refusing, hung, dead }
}

/** Chats at a steady rate until the scope ends; every tenth asks for a model that nobody has. */
export function chatWith({ router }: TroubledFleet, { perSecond, t }: { perSecond: number; t: Scope }): void {
  let going = true
  t.after(() => {
    going = false
  })
  void (async () => {
    for (let index = 0; going; index++) {
      void chat(router, index).catch(() => {})
      await pause(1000 / perSecond)
    }
  })()
}

async function chat({ apiPort: port }: RouterProcess, index: number): Promise<void> {
  const wrong = index % 10 === 9
  const json = {
    model: wrong ? wrongModel : chatModel,
    messages: [{ role: 'user', content: `question ${index}` }],
    stream: true,
    stream_options: { include_usage: true },
    max_tokens: 20 + ((index * 37) % 150),
  }
  const connection = openConnection({ port, localAddress: wrong ? wrongClient : undefined })
  try {
    await connection.request({ path: '/v1/chat/completions', json }).text()
  } finally {
    connection.abort()
  }
}
