import { RouterError } from '../../http/errors.ts'
import { asWireError, fromWireError, type WireError } from './wire-error.ts'

/** One end of the pipe between two processes: `process` in the one, a `ChildProcess` in the other. */
export interface Port {
  readonly connected: boolean
  send?(message: object, callback: (error: Error | null) => void): boolean
  on(event: 'message', listener: (message: unknown) => void): unknown
  on(event: 'disconnect', listener: () => void): unknown
}

/** What one side can be asked for: by name, the argument and the answer. Both must survive JSON. */
export type CallMap<C> = { readonly [N in keyof C]: readonly [argument: unknown, answer: unknown] }

/** The signal is there for calls that were made with one. */
export type Handlers<C extends CallMap<C>> = {
  readonly [N in keyof C]: (argument: C[N][0], signal?: AbortSignal) => C[N][1] | Promise<C[N][1]>
}

type Message =
  | { readonly call: string; readonly argument: unknown; readonly id?: number; readonly abortable?: true }
  | { readonly abort: number }
  | { readonly answer: number; readonly value?: unknown; readonly error?: WireError }

/** Questions and answers between two processes, in order. */
export class Channel<Mine extends CallMap<Mine>, Theirs extends CallMap<Theirs>> {
  readonly #port: Port
  readonly #handlers: Handlers<Mine>
  readonly #waiting = new Map<number, PromiseWithResolvers<unknown>>()
  readonly #abortable = new Map<number, AbortController>()
  #outbox: Message[] = []
  #next = 0

  constructor(port: Port, handlers: Handlers<Mine>) {
    this.#port = port
    this.#handlers = handlers
    port.on('message', (messages) => {
      for (const message of messages as Message[]) void this.#receive(message)
    })
    port.on('disconnect', () => this.#close())
  }

  /**
   * Rejects with the RouterError of the other side, or, when the other side is gone, with `draining`: it is what a client
   * may be told, and a retry is right.
   */
  async call<N extends keyof Theirs & string>(
    name: N,
    argument: Theirs[N][0],
    signal?: AbortSignal,
  ): Promise<Theirs[N][1]> {
    const id = this.#next++
    const waiting = Promise.withResolvers<unknown>()
    this.#waiting.set(id, waiting)
    const abort = (): void => this.#send({ abort: id })
    signal?.addEventListener('abort', abort)
    this.#send({ call: name, argument, id, ...(signal === undefined ? {} : { abortable: true }) })
    if (signal?.aborted) abort()
    try {
      return (await waiting.promise) as Theirs[N][1]
    } finally {
      signal?.removeEventListener('abort', abort)
    }
  }

  /** Says something to which there is no answer. */
  tell<N extends keyof Theirs & string>(name: N, argument: Theirs[N][0]): void {
    this.#send({ call: name, argument })
  }

  /** What is said in one turn of the event loop goes in one piece: under load, a message costs more than its content. */
  #send(message: Message): void {
    if (this.#outbox.push(message) === 1) setImmediate(() => this.#flush())
  }

  #flush(): void {
    const messages = this.#outbox
    this.#outbox = []
    if (!this.#port.connected) this.#close()
    // A pipe that breaks at this moment is told by `disconnect`.
    else this.#port.send?.(messages, () => {})
  }

  async #receive(message: Message): Promise<void> {
    if ('answer' in message) return this.#settle(message)
    if ('abort' in message) return this.#abortable.get(message.abort)?.abort()
    const { call, argument, id, abortable } = message
    const controller = abortable && new AbortController()
    if (controller !== undefined && id !== undefined) this.#abortable.set(id, controller)
    let answer: { readonly value?: unknown; readonly error?: WireError }
    try {
      const handle = this.#handlers[call as keyof Mine]
      answer = { value: await handle(argument as Mine[keyof Mine][0], controller?.signal) }
    } catch (error) {
      answer = { error: asWireError(error) }
    }
    if (id === undefined) return
    this.#abortable.delete(id)
    this.#send({ answer: id, ...answer })
  }

  #settle({ answer, value, error }: Extract<Message, { answer: number }>): void {
    const waiting = this.#waiting.get(answer)
    this.#waiting.delete(answer)
    if (error === undefined) waiting?.resolve(value)
    else waiting?.reject(fromWireError(error))
  }

  #close(): void {
    const gone = new RouterError('draining', 'a process of the router has ended', { retryAfter: 1 })
    for (const waiting of this.#waiting.values()) waiting.reject(gone)
    this.#waiting.clear()
    for (const controller of this.#abortable.values()) controller.abort()
    this.#abortable.clear()
  }
}
