/** Bytes at the end of a chunk that can hold its usage: its event is small, and the last but one or two. */
const keptBytes = 16 * 1024

/** Bytes that a room has at least: a token with its event. */
const leastRoom = 512

/** A copy of a chunk, at the beginning of its room. */
interface Kept {
  room: Uint8Array
  bytes: number
}

/** The last two chunks of a stream: a usage event may follow the one with the finish reason. */
export class LastEvents {
  // Both are written over in turns: a new buffer for each token costs Node more than the copy.
  #last: Kept = { room: new Uint8Array(), bytes: 0 }
  #beforeLast: Kept = { room: new Uint8Array(), bytes: 0 }

  /** @param events lent: a copy is kept */
  keep(events: Uint8Array): void {
    const kept = this.#beforeLast
    this.#beforeLast = this.#last
    this.#last = kept
    const end = events.byteLength <= keptBytes ? events : events.subarray(-keptBytes)
    kept.bytes = end.byteLength
    if (kept.bytes > kept.room.byteLength) kept.room = roomFor(kept.bytes)
    kept.room.set(end)
  }

  /** A server without end markers has at least said why it stopped. */
  get sayWhy(): boolean {
    return /"(?:finish|stop)_reason": ?"/.test(this.bytes.toString('latin1'))
  }

  get bytes(): Buffer {
    return Buffer.concat([this.#beforeLast, this.#last].map(({ room, bytes }) => room.subarray(0, bytes)))
  }
}

/** Not from Node's pool: a stream would hold all of it. */
function roomFor(bytes: number): Uint8Array {
  return Buffer.allocUnsafeSlow(Math.max(leastRoom, 2 ** Math.ceil(Math.log2(bytes))))
}
