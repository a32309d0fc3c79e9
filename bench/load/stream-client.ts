import { connect, type Socket } from 'node:net'
import { AnswerReader } from './answer-reader.ts'
import { StreamCheck } from './stream-check.ts'

export interface StreamPlan {
  /** host:port */
  readonly host: string
  /** Of each request, with the number of tokens and the pace. */
  readonly path: string
  readonly body: string
  readonly tokens: number
  /** Streams that are open at a time. */
  readonly streams: number
  /** New streams a second until all are open. */
  readonly opensPerSecond: number
  /** Whether a stream that has ended is followed by the next, on the same connection. */
  readonly again: boolean
}

/** What was seen since the last look. */
export interface StreamCounts {
  readonly tokens: number
  readonly ended: number
  readonly open: number
  readonly errors: number
  /** The first error that is no wrong answer: another status, a connection that was closed. */
  readonly fault: string | undefined
  /** The first thing that was wrong with a stream that came to its end. */
  readonly wrongAnswer: string | undefined
  /** Milliseconds from request to first token. */
  readonly firstTokenMs: readonly number[]
  /** Milliseconds each token was on its way. */
  readonly lagMs: readonly number[]
}

/** Many streams at a time, each over a connection of its own, every byte of them checked. */
export class StreamClient {
  readonly #plan: StreamPlan
  readonly #now: () => number
  readonly #request: Buffer
  readonly #sockets = new Set<Socket>()
  #firstTokenMs: number[] = []
  #lagMs: number[] = []
  #tokens = 0
  #ended = 0
  #open = 0
  #opened = 0
  #errors = 0
  #fault: string | undefined
  #wrongAnswer: string | undefined
  #timer: ReturnType<typeof setInterval> | undefined

  /** @param now microseconds, the clock of the workers */
  constructor(plan: StreamPlan, now: () => number) {
    this.#plan = plan
    this.#now = now
    const head =
      `POST ${plan.path} HTTP/1.1\r\nhost: ${plan.host}\r\ncontent-type: application/json\r\n` +
      `content-length: ${Buffer.byteLength(plan.body)}\r\n\r\n`
    this.#request = Buffer.from(head + plan.body)
  }

  start(): void {
    const { streams, opensPerSecond } = this.#plan
    const started = this.#now()
    const openDue = (): void => {
      const due = Math.min(streams, Math.ceil(((this.#now() - started) / 1e6) * opensPerSecond))
      while (this.#opened < due) this.#openOne()
      if (this.#opened === streams) clearInterval(this.#timer)
    }
    this.#timer = setInterval(openDue, 1)
  }

  /** What was seen since the last time, and forgets it. */
  take(): StreamCounts {
    const counts: StreamCounts = {
      tokens: this.#tokens,
      ended: this.#ended,
      open: this.#open,
      errors: this.#errors,
      fault: this.#fault,
      wrongAnswer: this.#wrongAnswer,
      firstTokenMs: this.#firstTokenMs,
      lagMs: this.#lagMs,
    }
    this.#tokens = this.#ended = this.#errors = 0
    this.#firstTokenMs = []
    this.#lagMs = []
    return counts
  }

  stop(): void {
    clearInterval(this.#timer)
    for (const socket of this.#sockets) socket.destroy()
  }

  #openOne(): void {
    this.#opened++
    const [address = '', port] = this.#plan.host.split(':')
    const socket = connect({ host: address, port: Number(port), noDelay: true })
    this.#sockets.add(socket)
    let sentAt = 0
    let streaming = false
    let check = new StreamCheck(0, () => {})
    const ask = (): void => {
      check = new StreamCheck(this.#plan.tokens, onToken)
      sentAt = this.#now()
      streaming = true
      this.#open++
      socket.write(this.#request)
    }
    const onToken = (workerSentAt: number): void => {
      const now = this.#now()
      this.#tokens++
      this.#lagMs.push((now - workerSentAt) / 1000)
      if (sentAt > 0) this.#firstTokenMs.push((now - sentAt) / 1000)
      sentAt = 0
    }
    const over = (fault: string | undefined): void => {
      if (!streaming) return
      streaming = false
      this.#open--
      if (fault === undefined) this.#ended++
      else this.#fail(fault)
    }
    const reader = new AnswerReader(
      (body) => check.push(body),
      () => {
        const wrong = reader.status === 200 ? check.end() : undefined
        this.#wrongAnswer ??= wrong
        over(reader.status === 200 ? wrong : `status ${reader.status}`)
        if (this.#plan.again) ask()
        else socket.end()
      },
    )
    socket.once('connect', ask)
    socket.on('data', (bytes) => {
      try {
        reader.push(bytes)
      } catch (error) {
        over((error as Error).message)
        socket.destroy()
      }
    })
    socket.on('error', (error) => (streaming ? over(error.message) : this.#fail(error.message)))
    socket.once('close', () => {
      this.#sockets.delete(socket)
      over('the connection was closed within a stream')
    })
  }

  #fail(fault: string): void {
    this.#errors++
    this.#fault ??= fault
  }
}
