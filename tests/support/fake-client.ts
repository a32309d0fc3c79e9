import {
  type HttpClient,
  type OutgoingRequest,
  type PendingAnswer,
  type RelayedBody,
  TransportError,
  type WorkerResponse,
} from '../../app/upstream/http-client.ts'
import type { AppClock } from './app-clock.ts'
import { HandMadeBody } from './hand-made-body.ts'

/**
 * How a fake worker answers: a status, a status with a body, after a while, never, or not even a connection; `exhausted` is
 * this side's own want of file descriptors.
 */
export type FakeAnswer =
  | number
  | { readonly status: number; readonly body: string; readonly afterMs?: number }
  | 'never'
  | 'refused'
  | 'reset'
  | 'exhausted'

export interface SentRequest {
  /** On the clock. */
  readonly at: number
  /** Origin and path. */
  readonly url: string
  readonly method: string
  readonly headers: OutgoingRequest['headers']
  readonly body: string | undefined
}

/** An HTTP client without network: answers by origin, by a clock that is turned by hand. */
export class FakeClient implements HttpClient {
  readonly connections = 0
  readonly idleConnections = 0
  readonly #clock: AppClock
  readonly #answers = new Map<string, (path: string) => FakeAnswer>()
  readonly sent: SentRequest[] = []

  constructor(clock: AppClock) {
    this.#clock = clock
  }

  /** From now on this is how the origin answers. */
  answer(origin: string, answer: (path: string) => FakeAnswer): void {
    this.#answers.set(origin, answer)
  }

  /** Times at which this origin and path were asked for. */
  times(url: string): number[] {
    return this.sent.filter((one) => one.url === url).map(({ at }) => at)
  }

  send({ origin, path, method, headers, body }: OutgoingRequest): PendingAnswer<RelayedBody> {
    const text = body === undefined ? undefined : Buffer.from(body.bytes()).toString()
    this.sent.push({ at: this.#clock.now(), url: origin + path, method, headers, body: text })
    const answer = this.#answers.get(origin)?.(path) ?? 'refused'
    let abort = (): void => {}
    const head = new Promise<WorkerResponse<RelayedBody>>((resolve, reject) => {
      abort = () => reject(new TransportError('aborted', 'ABORTED'))
      if (answer === 'refused') reject(new TransportError('unreachable', 'ECONNREFUSED'))
      else if (answer === 'exhausted') reject(new TransportError('exhausted', 'EMFILE'))
      else if (answer === 'reset') reject(new TransportError('reset', 'ECONNRESET'))
      else if (typeof answer === 'number') resolve(incoming(answer, ''))
      else if (answer !== 'never') {
        const { status, body, afterMs = 0 } = answer
        if (afterMs === 0) resolve(incoming(status, body))
        else this.#clock.after(afterMs, () => resolve(incoming(status, body)))
      }
    })
    return { head, abort }
  }

  setTls(): void {}
  async close(): Promise<void> {}
}

function incoming(status: number, text: string): WorkerResponse<RelayedBody> {
  const body = new HandMadeBody()
  body.put(text, undefined)
  return { status, headers: [], body }
}
