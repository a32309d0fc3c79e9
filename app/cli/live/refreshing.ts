import { NoAnswer } from '../running-router.ts'

/** What is known of something that is asked again and again, and since when it has not been told anew. */
export interface Known<T> {
  readonly value: T | undefined
  /** When `value` was told. */
  readonly at: Date | undefined
  /** Why there is nothing newer; undefined when the last question was answered. */
  readonly trouble: Trouble | undefined
}

export interface Trouble {
  /** Of the first question without a good answer. */
  readonly since: Date
  /** Nobody answers; else the answer is no. */
  readonly silent: boolean
  readonly why: string
}

/** Asks again and again, keeps the last good answer, and never throws. */
export class Refreshing<T> {
  readonly #ask: () => Promise<T>
  known: Known<T> = { value: undefined, at: undefined, trouble: undefined }

  constructor(ask: () => Promise<T>) {
    this.#ask = ask
  }

  async refresh(): Promise<void> {
    const asked = new Date()
    try {
      const value = await this.#ask()
      this.known = { value, at: new Date(), trouble: undefined }
    } catch (error) {
      const silent = error instanceof NoAnswer
      const why = silent ? error.why : error instanceof Error ? error.message : String(error)
      this.known = { ...this.known, trouble: { since: this.known.trouble?.since ?? asked, silent, why } }
    }
  }

  /** Until `stop`: a question, a pause of `everyMs`, the next question; `shown` is called after each answer. */
  async run(everyMs: number, stop: AbortSignal, shown: () => void): Promise<void> {
    while (!stop.aborted) {
      await this.refresh()
      if (stop.aborted) return
      shown()
      await pause(everyMs, stop)
    }
  }
}

/** `12:30:05`, as clocks here show it. */
export function clockTime(at: Date): string {
  return at.toTimeString().slice(0, 8)
}

/** One line for a person: since when what is shown is old, and why. */
export function troubleText({ since, silent, why }: Trouble, now: Date): string {
  const seconds = Math.max(0, Math.round((now.getTime() - since.getTime()) / 1000))
  return `${silent ? 'NO ANSWER' : 'REFUSED'} since ${clockTime(since)} (${seconds} s): ${why}`
}

/** Resolves early when `stop` is aborted. */
export function pause(ms: number, stop: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer)
      stop.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    stop.addEventListener('abort', done, { once: true })
    if (stop.aborted) done()
  })
}
