/** Random numbers that can be looked at before they are taken: a preview tells what the next choice will be. */
export class Draws {
  readonly #random: () => number
  /** Looked at and not taken, the next one first. */
  readonly #seen: number[] = []

  /** @param random uniform in [0, 1) */
  constructor(random: () => number) {
    this.#random = random
  }

  /** The next number. */
  readonly take = (): number => (this.#seen.length === 0 ? this.#random() : this.#seen.shift()!)

  /** Gives the next numbers one after the other, and leaves them for whoever takes them. */
  ahead(): () => number {
    let at = 0
    return () => {
      if (at === this.#seen.length) this.#seen.push(this.#random())
      return this.#seen[at++]!
    }
  }
}
