/**
 * A number for a text, the same in every router: 32 bits of FNV-1a, with a finish that spreads texts which differ in their
 * last character only.
 */
export function hashText(text: string): number {
  let hash = 0x811c9dc5
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193)
  return mix(hash >>> 0, text.length)
}

/** A number of 32 bits for a key of as many and a worker's own number. */
export function mix(key: number, worker: number): number {
  let hash = Math.imul((key | 0) ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul((worker + 0x7f4a7c15) | 0, 0xc2b2ae35)
  hash ^= hash >>> 15
  hash = Math.imul(hash, 0x2c1b3c6d)
  hash ^= hash >>> 12
  hash = Math.imul(hash, 0x297a2d39)
  hash ^= hash >>> 15
  return hash >>> 0
}

/** The numbers of workers by their ids, made once. */
export class WorkerNumbers {
  readonly #numbers = new Map<string, number>()

  of(id: string): number {
    let number = this.#numbers.get(id)
    if (number === undefined) {
      number = hashText(id)
      this.#numbers.set(id, number)
    }
    return number
  }

  forget(id: string): void {
    this.#numbers.delete(id)
  }
}
