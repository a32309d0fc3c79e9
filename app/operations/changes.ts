/** Texts by key, each with the number of the frame in which it last changed: what a viewer has not seen is a comparison. */
export class Changes {
  #entries = new Map<string, { readonly text: string; readonly frame: number }>()

  /** The texts as they are now; those that are not among them are forgotten. */
  update(frame: number, texts: Iterable<readonly [key: string, text: string]>): void {
    const entries = new Map<string, { readonly text: string; readonly frame: number }>()
    for (const [key, text] of texts) {
      const known = this.#entries.get(key)
      entries.set(key, known?.text === text ? known : { text, frame })
    }
    this.#entries = entries
  }

  /** What has changed after that frame, in the order of the last update. */
  since(frame: number): string[] {
    return [...this.#entries.values()].filter((entry) => entry.frame > frame).map(({ text }) => text)
  }
}
