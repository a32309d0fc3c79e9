import type { Candidate, EngineFacts, PromptChain, SelectionPolicy } from '../../policies/selection/policy.ts'
import type { SimulatedRequest } from './engine.ts'

/** Bytes of a token in the simulation. */
const bytesPerToken = 4

/** A worker as one router sees it. */
export class SeenWorker implements Candidate {
  readonly id: string
  readonly ordinal: number
  inFlight = 0
  readonly weight = 1
  /** Without a first token. */
  waiting = 0
  engine: EngineFacts | undefined

  constructor(ordinal: number) {
    this.id = `worker-${ordinal}`
    this.ordinal = ordinal
  }
}

export class Router {
  readonly workers: readonly SeenWorker[]
  available: readonly SeenWorker[]
  readonly policy: SelectionPolicy

  constructor(count: number, policy: SelectionPolicy) {
    this.workers = Array.from({ length: count }, (_, ordinal) => new SeenWorker(ordinal))
    this.available = this.workers
    this.policy = policy
  }

  see(worker: number, isThere: boolean): void {
    const { id } = this.workers[worker]!
    this.available = this.workers.filter((one) =>
      one.ordinal === worker ? isThere : this.available.includes(one),
    )
    if (!isThere) this.policy.forget?.(id)
  }
}

/** The prompt as a policy sees it. */
export function chainOf({ blocks, promptTokens }: SimulatedRequest, blockTokens: number): PromptChain {
  const blockBytes = blockTokens * bytesPerToken
  return {
    blocks,
    bytes: promptTokens * bytesPerToken,
    bytesOf: (count) => count * blockBytes,
  }
}
