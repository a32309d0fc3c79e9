/** Workers that fail at random, but the same way each time: what a worker does to a request follows from a seed. */

import type { Fault } from './faults.ts'
import { allFaults, closeWhenReused, endlessEvent, endlessEventMidStream, resetWhenReused } from './faults.ts'
import { seeded } from './random.ts'
import type { RecordedRequest } from './recorder.ts'
import type { Scope } from './scope.ts'
import { type ScriptedWorker, startScriptedWorker } from './scripted-worker.ts'
import { startTcpProxy, type TcpProxy } from './tcp-proxy.ts'

/**
 * Not among them is `closeAfterDone`: of an answer whose end comes together with its last bytes, Bun's fetch gives away
 * neither, so there is nothing that could be relayed, and it is rightly asked for again although it was executed.
 */
const faults: readonly Fault[] = [
  ...allFaults.filter(
    ({ name, refuses }) =>
      // One cannot refuse a request that has arrived: see `flicker`. The others are there in a cheaper size.
      !refuses && !['endlessEvent', 'endlessEventMidStream'].includes(name),
  ),
  endlessEvent(1),
  endlessEventMidStream(1),
  resetWhenReused(),
  closeWhenReused(),
]

export interface FaultStorm {
  /** What the router is told. The first worker is behind a line of its own. */
  readonly urls: readonly { readonly url: string }[]
  readonly workers: readonly ScriptedWorker[]
  /** How often a fault struck, by name. */
  readonly struck: ReadonlyMap<string, number>
  /** What the workers did to the request of that id, in the order in which they got it; `healthy` for nothing. */
  story(id: string): readonly string[]
  /** How many workers have executed the request of that id to its end. */
  executions(id: string): number
  /** The first worker refuses new connections for `ms`, again and again, until the returned function is called. */
  flicker(ms: number): () => void
}

/** @param share of requests that a fault strikes, 0 to 1 */
export async function startFaultStorm(options: {
  readonly workers: number
  readonly share: number
  readonly seed: number
  readonly t: Scope
}): Promise<FaultStorm> {
  const { share, seed, t } = options
  const struck = new Map<string, number>()
  const executed = new Map<string, number>()
  const stories = new Map<string, string[]>()

  function behave(worker: () => ScriptedWorker, index: number) {
    return (request: RecordedRequest) => {
      const id = request.header('x-request-id') ?? ''
      const random = seeded(seed + hash(`${index} ${id}`))
      const fault = random() < share ? faults[Math.floor(random() * faults.length)] : undefined
      const script = fault?.script(request, worker())
      if (fault !== undefined && script !== undefined)
        struck.set(fault.name, (struck.get(fault.name) ?? 0) + 1)
      stories.set(id, [...(stories.get(id) ?? []), script === undefined ? 'healthy' : (fault?.name ?? '')])
      const phase = request.stream ? fault?.stream : fault?.plain
      // An answer that no client could use, a status or a head too large, is no execution.
      if (script !== undefined && phase !== 'none') return script
      const executes = () => void executed.set(id, (executed.get(id) ?? 0) + 1)
      return [...(script ?? worker().healthy(request)), executes]
    }
  }

  const workers: ScriptedWorker[] = []
  for (let index = 0; index < options.workers; index++) {
    const self = (): ScriptedWorker => workers[index] as ScriptedWorker
    workers.push(await startScriptedWorker(behave(self, index), { t }))
  }
  const line = await startTcpProxy({ target: workers[0]?.port ?? 0, t })
  return {
    urls: [line, ...workers.slice(1)],
    workers,
    struck,
    story: (id) => stories.get(id) ?? [],
    executions: (id) => executed.get(id) ?? 0,
    flicker: (ms) => flicker(line, ms, t),
  }
}

function flicker(line: TcpProxy, ms: number, t: Scope): () => void {
  let refusing = false
  const timer = setInterval(() => {
    refusing = !refusing
    void (refusing ? line.refuse() : line.accept())
  }, ms)
  t.after(() => clearInterval(timer))
  return () => {
    clearInterval(timer)
    void line.accept()
  }
}

/** FNV-1a, 32 bits (public domain). */
function hash(text: string): number {
  let value = 0x811c9dc5
  for (let index = 0; index < text.length; index++) {
    value = Math.imul(value ^ text.charCodeAt(index), 0x01000193)
  }
  return value >>> 0
}
