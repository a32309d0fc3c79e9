/** What the page knows of the router: events of the feed put together. */

/** As many as the router sends. */
const mostRequests = 100
/** Seconds that the charts cover. */
export const chartSeconds = 300
/** Points of a worker's own chart, one a second. */
const mostInFlight = 60

export class FleetState {
  /** By id. */
  workers = new Map()
  /** Ids in the order of the pool. */
  order = []
  /** Requests in flight of each worker, the newest last. */
  inFlight = new Map()
  /** By id and time, which together are a key. */
  requests = new Map()
  points = []
  figures
  vitals
  config
  startedAt
  version
  at
  /** Milliseconds by which the clock here is ahead of the router's. */
  #ahead = 0

  /** The router's time of day, in milliseconds. */
  now() {
    return Date.now() - this.#ahead
  }

  /**
   * @param frame one event of the feed
   * @param first it is the first one of a connection, and holds everything
   * @returns what has changed
   */
  apply(frame, first) {
    this.#ahead = Date.now() - Date.parse(frame.at)
    const { at, vitals, figures, started_at: startedAt, version } = frame
    Object.assign(this, { at, vitals, figures, startedAt, version })
    if (first) {
      this.workers.clear()
      this.requests.clear()
      this.inFlight = new Map(Object.entries(frame.in_flight ?? {}))
    }
    const order = frame.order !== undefined
    if (order) this.#setOrder(frame.order)
    for (const worker of frame.workers ?? []) this.workers.set(worker.id, worker)
    if (!first) this.#noteInFlight()
    this.#addPoints(frame.points)
    for (const request of frame.requests ?? [])
      this.requests.set(`${request.request_id} ${request.at}`, request)
    this.#trimRequests()
    if (frame.config !== undefined) this.config = frame.config
    return { order, workers: frame.workers ?? [], requests: first || frame.requests, config: frame.config }
  }

  #setOrder(order) {
    this.order = order
    const there = new Set(order)
    for (const id of this.workers.keys()) if (!there.has(id)) this.workers.delete(id)
    for (const id of this.inFlight.keys()) if (!there.has(id)) this.inFlight.delete(id)
  }

  #noteInFlight() {
    for (const [id, worker] of this.workers) {
      const numbers = this.inFlight.get(id) ?? []
      numbers.push(worker.in_flight)
      if (numbers.length > mostInFlight) numbers.shift()
      this.inFlight.set(id, numbers)
    }
  }

  /** A router that was away brings none of the time before: what is known of it stays. */
  #addPoints(points) {
    const from = points[0]?.at
    const kept = from === undefined ? this.points : this.points.filter(({ at }) => at < from)
    const oldest = new Date(this.now() - chartSeconds * 1000).toISOString()
    this.points = [...kept, ...points].filter(({ at }) => at > oldest)
  }

  #trimRequests() {
    if (this.requests.size <= mostRequests) return
    const newest = this.newestRequests().slice(0, mostRequests)
    this.requests = new Map(newest.map((request) => [`${request.request_id} ${request.at}`, request]))
  }

  newestRequests() {
    return [...this.requests.values()].sort((a, b) => (a.at < b.at ? 1 : -1))
  }
}
