import type { Fault } from './fault.ts'

interface Armed {
  fault: Fault
  left: number
}

/** The faults that are in force on one server, and which of them hits a request. */
export class FaultSet {
  private readonly armed: Armed[] = []
  private readonly random: () => number

  constructor(random: () => number) {
    this.random = random
  }

  get size(): number {
    return this.armed.length
  }

  list(): Fault[] {
    return this.armed.map(({ fault }) => fault)
  }

  /** Puts a fault in force; one of the same kind and path is replaced. */
  add(fault: Fault): void {
    const same = this.armed.findIndex((one) => one.fault.kind === fault.kind && one.fault.path === fault.path)
    const entry = { fault, left: fault.times ?? Number.POSITIVE_INFINITY }
    if (same === -1) this.armed.push(entry)
    else this.armed[same] = entry
  }

  /** Ends all faults of a kind. */
  remove(kind: Fault['kind']): void {
    const kept = this.armed.filter(({ fault }) => fault.kind !== kind)
    this.armed.splice(0, this.armed.length, ...kept)
  }

  clear(): void {
    this.armed.length = 0
  }

  /** The first fault that hits a request, oldest first. Counts its `times`. */
  strike(path: string, isModelApi: boolean): Fault | undefined {
    return this.take((fault) => !concernsServer(fault) && this.hits(fault, path, isModelApi))
  }

  /**
   * Whether a fault hits a request of this path, by its own path and probability. `byDefault` stands for a fault
   * without a path. Throws a RangeError for a fault that no single request can have.
   */
  hits(fault: Fault, path: string, byDefault: boolean): boolean {
    if (concernsServer(fault)) throw new RangeError(`fault: ${fault.kind} concerns the whole server`)
    const isHere = fault.path === undefined ? byDefault : path.startsWith(fault.path)
    return isHere && this.isDrawn(fault)
  }

  /** The first fault of this kind, if it hits. Counts its `times`. */
  strikeKind<Kind extends Fault['kind']>(kind: Kind): Extract<Fault, { kind: Kind }> | undefined {
    return this.take((fault) => fault.kind === kind && this.isDrawn(fault)) as
      | Extract<Fault, { kind: Kind }>
      | undefined
  }

  private take(matches: (fault: Fault) => boolean): Fault | undefined {
    for (const [index, entry] of this.armed.entries()) {
      if (!matches(entry.fault)) continue
      entry.left--
      if (entry.left <= 0) this.armed.splice(index, 1)
      return entry.fault
    }
    return undefined
  }

  private isDrawn({ probability }: Fault): boolean {
    return probability === undefined || this.random() < probability
  }
}

function concernsServer({ kind }: Fault): boolean {
  return kind === 'refuse' || kind === 'slow-health' || kind === 'health-status'
}
