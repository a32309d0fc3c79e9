import { RouterError } from './errors.ts'

/** Milliseconds. */
export const defaultUploadSilenceMs = 60_000

/**
 * Gives up an upload that has stopped. Silence is limited, not the whole time: 60 MB over a slow line take minutes, and
 * as long as bytes come nothing is wrong.
 */
export class UploadSilence {
  readonly #ms: number
  readonly #timer: NodeJS.Timeout
  #over = false

  /** @param onOver ends the wait for the next bytes */
  constructor(ms: number, onOver: () => void) {
    this.#ms = ms
    this.#timer = setTimeout(() => {
      this.#over = true
      onOver()
    }, ms)
  }

  heard(): void {
    this.#timer.refresh()
  }

  end(): void {
    clearTimeout(this.#timer)
  }

  /** What the upload is to be answered with, where it was given up. */
  get error(): RouterError | undefined {
    if (!this.#over) return undefined
    const message = `The upload stopped: no byte of the request body came for ${this.#ms / 1000} s.`
    return new RouterError('upload_timeout', message, { close: true })
  }
}
