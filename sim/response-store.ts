/** The answers of `/v1/responses` that can be fetched again by id. Holds the last thousand. */
export class ResponseStore {
  private readonly bodies = new Map<string, string>()
  private readonly capacity: number

  constructor(capacity = 1000) {
    this.capacity = capacity
  }

  /** `body` is the complete answer as JSON text. */
  keep(id: string, body: string): void {
    this.bodies.set(id, body)
    for (const oldest of this.bodies.keys()) {
      if (this.bodies.size <= this.capacity) return
      this.bodies.delete(oldest)
    }
  }

  get(id: string): string | undefined {
    return this.bodies.get(id)
  }
}
