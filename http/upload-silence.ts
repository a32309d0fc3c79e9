import { RouterError } from './errors.ts'

/** Milliseconds. */
export const defaultUploadSilenceMs = 60_000

/** Milliseconds between two looks at the uploads that are under way. */
const lookMs = 200

/**
 * Gives up an upload that has stopped. Silence is limited, not the whole time: 60 MB over a slow line take minutes, and
 * as long as bytes come nothing is wrong.
 */
export class UploadSilence {
  readonly #ms: number
  readonly #onOver: () => void
  #heardAt = performance.now()
  #over = false
  /** Among those that are under way. */
  place = -1

  /** @param onOver ends the wait for the next bytes */
  constructor(ms: number, onOver: () => void) {
    this.#ms = ms
    this.#onOver = onOver
    underWay.add(this)
  }

  heard(): void {
    this.#heardAt = performance.now()
  }

  end(): void {
    underWay.delete(this)
  }

  look(now: number): void {
    if (now - this.#heardAt < this.#ms) return
    this.#over = true
    this.end()
    this.#onOver()
  }

  /** What the upload is to be answered with, where it was given up. */
  get error(): RouterError | undefined {
    if (!this.#over) return undefined
    const message = `The upload stopped: no byte of the request body came for ${this.#ms / 1000} s.`
    return new RouterError('upload_timeout', message, { close: true })
  }
}

/**
 * All uploads that are under way, with one timer: one for each request cost a fifth of all CPU on Node (300-byte
 * answers). The timer runs only as long as there are any.
 */
class UnderWay {
  readonly #uploads: UploadSilence[] = []
  #timer: NodeJS.Timeout | undefined

  add(upload: UploadSilence): void {
    upload.place = this.#uploads.push(upload) - 1
    this.#timer ??= setInterval(() => this.#look(), lookMs)
  }

  /** One that is not there any more is left alone. */
  delete(upload: UploadSilence): void {
    if (this.#uploads[upload.place] !== upload) return
    const last = this.#uploads.pop()!
    if (last !== upload) {
      this.#uploads[upload.place] = last
      last.place = upload.place
    }
    upload.place = -1
  }

  #look(): void {
    const now = performance.now()
    for (const upload of [...this.#uploads]) upload.look(now)
    if (this.#uploads.length > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }
}

const underWay = new UnderWay()
