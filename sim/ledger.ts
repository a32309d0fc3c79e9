/** What became of the requests to the simulated model. Probes, metrics and control calls are not counted. */
export interface SimStats {
  /** Requests whose body was read to its end. */
  received: number
  /** Answered to the last byte. */
  completed: number
  /** Left by the client before the end. */
  aborted: number
  /** Answered with an error that the request earned itself (4xx), or with 503 by a full queue. */
  rejected: number
  /** Answered, cut or broken by a fault that was asked for. */
  faulted: number
  /** In the engine now. */
  running: number
  /** In the queue now. */
  waiting: number
  generatedTokens: number
  /** `X-Request-Id`s in order of arrival, repeats included; empty unless `recordRequests` is on. */
  receivedIds: string[]
  /** `X-Request-Id`s in order of completion, repeats included; empty unless `recordRequests` is on. */
  completedIds: string[]
}

/** How a request ended. */
export type Ending = 'completed' | 'aborted' | 'rejected' | 'faulted'

export class Ledger {
  received = 0
  readonly ended: Record<Ending, number> = { completed: 0, aborted: 0, rejected: 0, faulted: 0 }
  readonly receivedIds: string[] = []
  readonly completedIds: string[] = []
  private readonly recordIds: boolean

  constructor(recordIds: boolean) {
    this.recordIds = recordIds
  }

  arrive(requestId: string | undefined): void {
    this.received++
    if (this.recordIds && requestId !== undefined) this.receivedIds.push(requestId)
  }

  end(requestId: string | undefined, ending: Ending): void {
    this.ended[ending]++
    if (this.recordIds && ending === 'completed' && requestId !== undefined) this.completedIds.push(requestId)
  }
}
