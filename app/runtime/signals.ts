const orders: readonly NodeJS.Signals[] = ['SIGTERM', 'SIGINT']
/** Their default actions would end the process, or open a debugger, and cut every stream. */
const others: readonly NodeJS.Signals[] = ['SIGHUP', 'SIGUSR1', 'SIGUSR2', 'SIGQUIT', 'SIGALRM']

/** Milliseconds in which Ctrl-C counts once: the terminal sends it to `bun run` too, which hands it on. */
const echoMs = 500

/** Whether the signal asks the program to end. */
export function isOrder(signal: NodeJS.Signals): boolean {
  return orders.includes(signal)
}

/**
 * The signals of the process, from its first moment to its last. The handlers are set once and never taken off: as PID 1
 * a process never gets a signal for which it has none, any other one dies of it, and between two handlers there would be
 * a moment without.
 *
 * Until somebody takes them, signals are kept; a second order to end is then obeyed at once.
 */
export class Signals {
  readonly #kept: NodeJS.Signals[] = []
  #taken: ((signal: NodeJS.Signals) => void) | undefined
  #interruptedAt = Number.NEGATIVE_INFINITY

  constructor() {
    for (const signal of [...orders, ...others]) process.on(signal, () => this.#receive(signal))
  }

  /** Hands over what was kept, and from now on every signal. */
  take(listener: (signal: NodeJS.Signals) => void): void {
    this.#taken = listener
    for (const signal of this.#kept.splice(0)) listener(signal)
  }

  #receive(signal: NodeJS.Signals): void {
    if (signal === 'SIGINT') {
      const now = performance.now()
      if (now - this.#interruptedAt < echoMs) return
      this.#interruptedAt = now
    }
    if (this.#taken !== undefined) {
      this.#taken(signal)
      return
    }
    this.#kept.push(signal)
    if (this.#kept.filter(isOrder).length > 1) process.exit(1)
  }
}
