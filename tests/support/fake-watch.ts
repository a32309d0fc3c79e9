/** One watch of the fake API server, and how it goes wrong. */

import type { ServerResponse } from 'node:http'
import type { ClusterEvent, FakeCluster, Selection } from './fake-cluster.ts'
import type { Random } from './random.ts'

/** How often an event fares so, 0 to 1. */
export interface WatchFaults {
  /** It never arrives, and the watch goes on. */
  readonly lose: number
  readonly duplicate: number
  /** It arrives after the next one. */
  readonly reorder: number
  /** The connection ends in the middle of its line. */
  readonly cut: number
  /** In its place comes the error event 410, and the watch ends. */
  readonly expire: number
}

export interface FakeWatchOptions {
  readonly cluster: FakeCluster
  readonly selection: Selection
  /** The version after which events are wanted. */
  readonly from: number
  readonly random: Random
  readonly faults: () => WatchFaults
  /** Undefined: no bookmarks. */
  readonly bookmarkMs: number | undefined
  readonly timeoutMs: number
}

export class FakeWatch {
  readonly #response: ServerResponse
  readonly #options: FakeWatchOptions
  readonly #ends: (() => void)[] = []
  #at: number
  #held: string | undefined
  #over = false

  constructor(response: ServerResponse, options: FakeWatchOptions) {
    this.#response = response
    this.#options = options
    this.#at = options.from
  }

  start(): void {
    const { cluster, bookmarkMs, timeoutMs } = this.#options
    if (this.#at < cluster.oldest) {
      this.#expire()
      return
    }
    this.#ends.push(cluster.onChange(() => this.#advance()))
    const timeout = setTimeout(() => this.end(), timeoutMs)
    this.#ends.push(() => clearTimeout(timeout))
    if (bookmarkMs !== undefined) {
      const bookmarks = setInterval(() => this.#bookmark(), bookmarkMs)
      this.#ends.push(() => clearInterval(bookmarks))
    }
    this.#advance()
  }

  end(): void {
    this.closed()
    this.#response.end()
  }

  /** The connection is gone. */
  closed(): void {
    this.#over = true
    for (const end of this.#ends.splice(0)) end()
  }

  #advance(): void {
    const { cluster, selection } = this.#options
    for (const event of cluster.since(this.#at, selection)) {
      if (this.#over) return
      this.#send(event)
    }
    // A watch from the future, left over from before a restored backup, waits for it.
    this.#at = Math.max(this.#at, cluster.version)
  }

  #send({ type, object }: ClusterEvent): void {
    const { random, faults } = this.#options
    const { lose, duplicate, reorder, cut, expire } = faults()
    const line = `${JSON.stringify({ type, object })}\n`
    if (random() < lose) return
    if (random() < expire) this.#expire()
    else if (random() < cut) this.#cut(line)
    else if (this.#held === undefined && random() < reorder) this.#held = line
    else this.#write(line, random() < duplicate)
  }

  #write(line: string, twice: boolean): void {
    this.#response.write(line)
    if (twice) this.#response.write(line)
    if (this.#held !== undefined) this.#response.write(this.#held)
    this.#held = undefined
  }

  #bookmark(): void {
    const { cluster, selection } = this.#options
    const metadata = { resourceVersion: String(cluster.version) }
    this.#response.write(
      `${JSON.stringify({ type: 'BOOKMARK', object: { kind: selection.kind, metadata } })}\n`,
    )
  }

  #expire(): void {
    const status = { kind: 'Status', status: 'Failure', message: 'too old resource version', code: 410 }
    this.#response.write(`${JSON.stringify({ type: 'ERROR', object: { ...status, reason: 'Expired' } })}\n`)
    this.end()
  }

  #cut(line: string): void {
    this.closed()
    const half = line.slice(0, Math.max(1, Math.floor(line.length / 2)))
    this.#response.write(half, () => this.#response.destroy())
  }
}
