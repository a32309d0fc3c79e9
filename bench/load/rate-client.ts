import { connect, type Socket } from 'node:net'
import { AnswerReader } from './answer-reader.ts'

export interface RatePlan {
  /** host:port */
  readonly host: string
  readonly path: string
  readonly body: string
  /** What every answer must be. */
  readonly expected: string
  readonly requestsPerSecond: number
  /** Requests in all. */
  readonly requests: number
  /** A connection for each request, as with curl; else idle ones are used again. */
  readonly freshConnections: boolean
}

/** What was seen since the last look. */
export interface RateCounts {
  /** Milliseconds from sending to the last byte, of each answer. */
  readonly latencyMs: readonly number[]
  readonly errors: number
  readonly fault: string | undefined
  /** Requests that were sent and not answered yet. */
  readonly waiting: number
  /** Connections that are open. */
  readonly connections: number
}

interface Connection {
  readonly send: () => void
}

/**
 * Requests at a constant rate, whether the answers keep up or not: a slow answer delays none of the others. A request
 * that finds no idle connection opens one.
 */
export class RateClient {
  readonly #plan: RatePlan
  readonly #now: () => number
  readonly #request: Buffer
  readonly #expected: Buffer
  readonly #sockets = new Set<Socket>()
  readonly #idle: Connection[] = []
  #latencyMs: number[] = []
  #sent = 0
  #waiting = 0
  #errors = 0
  #fault: string | undefined
  #timer: ReturnType<typeof setInterval> | undefined

  /** @param now microseconds */
  constructor(plan: RatePlan, now: () => number) {
    this.#plan = plan
    this.#now = now
    const connection = plan.freshConnections ? 'connection: close\r\n' : ''
    this.#request = Buffer.from(
      `POST ${plan.path} HTTP/1.1\r\nhost: ${plan.host}\r\n${connection}content-type: application/json\r\n` +
        `content-length: ${Buffer.byteLength(plan.body)}\r\n\r\n${plan.body}`,
    )
    this.#expected = Buffer.from(plan.expected)
  }

  start(): void {
    const started = this.#now()
    const sendDue = (): void => {
      const passed = (this.#now() - started) / 1e6
      const due = Math.min(this.#plan.requests, Math.floor(passed * this.#plan.requestsPerSecond))
      while (this.#sent < due) this.#send()
      if (this.#sent === this.#plan.requests) clearInterval(this.#timer)
    }
    this.#timer = setInterval(sendDue, 1)
  }

  take(): RateCounts {
    const counts: RateCounts = {
      latencyMs: this.#latencyMs,
      errors: this.#errors,
      fault: this.#fault,
      waiting: this.#waiting,
      connections: this.#sockets.size,
    }
    this.#latencyMs = []
    this.#errors = 0
    return counts
  }

  stop(): void {
    clearInterval(this.#timer)
    for (const socket of this.#sockets) socket.destroy()
  }

  #send(): void {
    this.#sent++
    this.#waiting++
    const connection = this.#idle.pop()
    if (connection === undefined) this.#open()
    else connection.send()
  }

  /** A new connection, which begins with a request; connecting is part of what it takes. */
  #open(): void {
    const [address = '', port] = this.#plan.host.split(':')
    const socket = connect({ host: address, port: Number(port), noDelay: true })
    this.#sockets.add(socket)
    let sentAt = this.#now()
    let asked = true
    let body: Buffer[] = []
    const connection: Connection = {
      send: () => {
        sentAt = this.#now()
        asked = true
        socket.write(this.#request)
      },
    }
    const answered = (fault?: string): void => {
      if (!asked) return
      asked = false
      this.#waiting--
      if (fault === undefined) this.#latencyMs.push((this.#now() - sentAt) / 1000)
      else this.#fail(fault)
    }
    const reader = new AnswerReader(
      (bytes) => body.push(bytes),
      () => {
        const right = reader.status === 200 && Buffer.concat(body).equals(this.#expected)
        answered(
          right ? undefined : `status ${reader.status}: ${Buffer.concat(body).toString().slice(0, 200)}`,
        )
        body = []
        if (this.#plan.freshConnections) socket.end()
        else this.#idle.push(connection)
      },
    )
    socket.on('data', (bytes) => {
      try {
        reader.push(bytes)
      } catch (error) {
        answered((error as Error).message)
        socket.destroy()
      }
    })
    socket.on('error', (error) => answered(error.message))
    socket.once('close', () => {
      this.#sockets.delete(socket)
      const place = this.#idle.indexOf(connection)
      if (place !== -1) this.#idle.splice(place, 1)
      reader.close()
      answered('the connection was closed within an answer')
    })
    socket.write(this.#request)
  }

  #fail(fault: string): void {
    this.#errors++
    this.#fault ??= fault
  }
}
