import { readFileSync } from 'node:fs'
import type { SimulatedRequest } from './engine.ts'
import { seededRandom } from './random.ts'

export interface Workload {
  readonly name: string
  readonly requests: readonly SimulatedRequest[]
  /** A worker is lost at half time, and comes back empty. */
  readonly losesWorker?: true
}

const blockTokens = 512

/** Consecutive names of blocks. */
const chain = (first: number, count: number): number[] => Array.from({ length: count }, (_, at) => first + at)

/**
 * The synthetic workloads, from a seed, and those made of a trace where one is given: one request a line, with `timestamp`
 * in milliseconds, `hash_ids`, `input_length`, `output_length`. Times are in arbitrary units: `scaled` stretches them.
 */
export function workloads({
  trace,
  count = 6000,
}: {
  readonly trace?: string | undefined
  readonly count?: number
}) {
  const random = seededRandom(7)
  let fresh = 1e9
  const own = (blocks: number): number[] => {
    fresh += 1000
    return chain(fresh, blocks)
  }
  const exponential = (): number => -Math.log(1 - random())
  const arrivals: number[] = []
  for (let at = 0, index = 0; index < count; index++) {
    at += exponential()
    arrivals.push(at)
  }
  const of = (make: (at: number) => SimulatedRequest): SimulatedRequest[] => arrivals.map(make)
  const request = (at: number, blocks: readonly number[], answerTokens = 150): SimulatedRequest => ({
    at,
    blocks,
    promptTokens: blocks.length * blockTokens,
    answerTokens,
  })

  const groups = of((at) => request(at, [...chain(2e8 + 100 * Math.floor(random() * 150), 12), ...own(2)]))
  const unique = of((at) => request(at, own(10)))
  const hot = of((at) => request(at, random() < 0.3 ? [...chain(3e8, 16), ...own(2)] : own(10)))
  const agents = agentSessions(count / 30, { random, exponential, own })
  const mixed = of((at) => {
    const answer = random() < 0.2 ? 2500 : 60
    return request(at, own(2), answer)
  })
  const made: Workload[] = [
    { name: 'groups', requests: groups },
    { name: 'unique', requests: unique },
    { name: 'hot', requests: hot },
    { name: 'agents', requests: agents },
    { name: 'mixed', requests: mixed },
    { name: 'burst', requests: inBursts(groups) },
  ]
  return trace === undefined ? made : [...fromTrace(trace, count), ...made]
}

/** Sessions of 30 turns, each on top of the one before and after some thought; three prompts with tools among them. */
function agentSessions(
  sessions: number,
  {
    random,
    exponential,
    own,
  }: {
    readonly random: () => number
    readonly exponential: () => number
    readonly own: (blocks: number) => number[]
  },
): SimulatedRequest[] {
  const requests: SimulatedRequest[] = []
  let begin = 0
  for (let session = 0; session < sessions; session++) {
    let blocks = [...chain(4e8 + 100 * Math.floor(random() * 3), 6), ...own(2)]
    begin += exponential()
    for (let turn = 0; turn < 30; turn++) {
      const one = {
        blocks: [...blocks],
        promptTokens: blocks.length * blockTokens - 100,
        answerTokens: 100 + Math.floor(random() * 300),
        session: `agent-${session}`,
      }
      requests.push(
        turn === 0
          ? { ...one, at: begin }
          : { ...one, at: 0, after: requests.length - 1, think: 1 + 8 * random() },
      )
      blocks = [...blocks, ...own(1 + Math.floor(random() * 3))]
    }
  }
  return requests
}

/** Every thousand requests, 150 come ten times as fast. */
function inBursts(requests: readonly SimulatedRequest[]): SimulatedRequest[] {
  let at = 0
  return requests.map((one, index) => {
    const pause = one.at - (requests[index - 1]?.at ?? 0)
    const isBurst = index % 1000 >= 500 && index % 1000 < 650
    at += (isBurst ? 0.1 : 1) * pause
    return { ...one, at }
  })
}

interface TraceLine {
  readonly timestamp: number
  readonly hash_ids: readonly number[]
  readonly input_length: number
  readonly output_length: number
}

function fromTrace(path: string, count: number): Workload[] {
  const lines = readFileSync(path, 'utf8').trim().split('\n').slice(0, count)
  const owners = new Map<number, number>()
  let sessions = 0
  const conversation = lines
    .map((line, index) => {
      const { timestamp, hash_ids: blocks, input_length, output_length } = JSON.parse(line) as TraceLine
      // The trace names no session: the deepest block already seen leads to it.
      const known = blocks
        .toReversed()
        .slice(0, -1)
        .find((block) => owners.has(block))
      const session = known === undefined ? ++sessions : owners.get(known)!
      for (const block of blocks.slice(1)) owners.set(block, session)
      return {
        // It is stamped in bursts of three seconds, which are spread.
        at: timestamp / 1000 + (index % 97) * 0.03,
        blocks,
        promptTokens: input_length,
        answerTokens: Math.max(1, output_length),
        session,
      }
    })
    .toSorted((a, b) => a.at - b.at)
  const behind = (prefix: (session: number) => number[]) =>
    conversation.map((one) => {
      const before = prefix(one.session)
      return {
        ...one,
        blocks: [...before, ...one.blocks],
        promptTokens: one.promptTokens + before.length * blockTokens,
      }
    })
  const tenantOf = (session: number): number => {
    const uniform = ((session * 2654435761) % 2 ** 32) / 2 ** 32
    return uniform < 0.8 ? 0 : uniform < 0.95 ? 1 : 2
  }
  return [
    { name: 'conversation', requests: conversation },
    { name: 'system', requests: behind(() => chain(-100, 20)) },
    { name: 'tenants', requests: behind((session) => chain(-1000 - 100 * tenantOf(session), 12)) },
    { name: 'loss', requests: conversation, losesWorker: true },
  ]
}
