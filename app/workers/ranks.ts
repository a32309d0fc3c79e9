import type {
  Booking,
  Candidate,
  SelectionPolicy,
  SelectionRequest,
} from '../../policies/selection/policy.ts'

/** A rank as a policy sees it. */
class Rank implements Candidate {
  readonly id: string
  readonly ordinal: number
  inFlight = 0
  readonly weight = 1

  constructor(workerId: string, ordinal: number) {
    this.id = `${workerId}/${ordinal}`
    this.ordinal = ordinal
  }
}

interface WorkerRanks {
  /** Undefined after a new configuration, until the next request. */
  policy: SelectionPolicy | undefined
  readonly ranks: readonly Rank[]
}

/** What was chosen for a request, and what is kept of it. */
export interface ChosenRank {
  readonly rank: number
  readonly booking: Booking
}

/**
 * The data-parallel ranks behind each URL. A worker has a policy of its own for them, of the same kind as that of the
 * pool: prompts and sessions keep to a rank as they keep to a worker. Health and breaker are those of the worker.
 */
export class Ranks {
  readonly #count: number
  #createPolicy: () => SelectionPolicy
  readonly #workers = new Map<string, WorkerRanks>()

  constructor(count: number, createPolicy: () => SelectionPolicy) {
    this.#count = count
    this.#createPolicy = createPolicy
  }

  /** The rank that `choose` would choose now; undefined where the policy cannot tell. */
  preview(workerId: string, request: SelectionRequest): number | undefined {
    const { policy, ranks } = this.#withPolicy(workerId)
    return policy.preview?.(ranks, request)?.ordinal
  }

  choose(workerId: string, request: SelectionRequest, booking: Booking | undefined): ChosenRank {
    const { policy, ranks } = this.#withPolicy(workerId)
    const rank = policy.select(ranks, request)
    return { rank: rank.ordinal, booking: new RankBooking(rank, booking, policy.book?.(rank, request)) }
  }

  forget(workerId: string): void {
    this.#workers.delete(workerId)
  }

  /** Other policies from the next request on. What is open on each rank stays counted. */
  reconfigure(createPolicy: () => SelectionPolicy): void {
    this.#createPolicy = createPolicy
    for (const known of this.#workers.values()) known.policy = undefined
  }

  /** As with a policy: a client says that its session is over. */
  finish(session: string): void {
    for (const { policy } of this.#workers.values()) policy?.finish?.(session)
  }

  /** As with a policy: how many tokens a prompt has had. */
  counted(model: string | undefined, bytes: number, tokens: number): void {
    for (const { policy } of this.#workers.values()) policy?.counted?.(model, bytes, tokens)
  }

  #withPolicy(workerId: string): WorkerRanks & { readonly policy: SelectionPolicy } {
    const known = this.#of(workerId)
    const policy = known.policy ?? this.#createPolicy()
    known.policy = policy
    return { policy, ranks: known.ranks }
  }

  #of(workerId: string): WorkerRanks {
    let known = this.#workers.get(workerId)
    if (known === undefined) {
      const ranks = Array.from({ length: this.#count }, (_, ordinal) => new Rank(workerId, ordinal))
      known = { policy: undefined, ranks }
      this.#workers.set(workerId, known)
    }
    return known
  }
}

/** Keeps the books of the worker and of its rank together. */
class RankBooking implements Booking {
  readonly expected: number | undefined
  readonly #rank: Rank
  readonly #ofWorker: Booking | undefined
  readonly #ofRank: Booking | undefined
  #ended = false

  constructor(rank: Rank, ofWorker: Booking | undefined, ofRank: Booking | undefined) {
    this.expected = (ofRank ?? ofWorker)?.expected
    this.#rank = rank
    this.#ofWorker = ofWorker
    this.#ofRank = ofRank
    rank.inFlight += 1
  }

  firstToken(): void {
    this.#ofWorker?.firstToken()
    this.#ofRank?.firstToken()
  }

  end(): void {
    if (this.#ended) return
    this.#ended = true
    this.#rank.inFlight -= 1
    this.#ofWorker?.end()
    this.#ofRank?.end()
  }
}
