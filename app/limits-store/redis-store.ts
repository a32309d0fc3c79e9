import type { Redis } from 'ioredis'
import {
  type Amounts,
  LateAnswer,
  type LimitsStore,
  noAmounts,
  perMinute,
  type ShareAnswer,
  type ShareRequest,
} from '../../policies/limits/limits-store.ts'
import { type StoreAddress, storeAddress } from '../config/kinds/store-url.ts'
import type { Clock } from '../runtime/clock.ts'
import { shareScript } from './share-script.ts'

export interface RedisStoreOptions {
  /** As the setting has it. */
  readonly url: string
  /** Unlike that of any other process. */
  readonly id: string
  readonly clock: Clock
  /** It can be used, or not any more. */
  readonly onChange: (isUp: boolean, reason: string) => void
}

/** Milliseconds after which an answer is not waited for any longer: a request may be waiting for it. */
export const answerMs = 200
/** Milliseconds for which requests in flight are held for a process that says nothing any more. */
const heldMs = 10_000
/** How late, in milliseconds, that is noticed where the process is too busy; and how often it is then waited once more. */
const busyMs = 20
const busyRounds = 5
/** Answers in a row that may be late before the server is not asked any more: one may be an accident. */
const mostLate = 2
const longestReconnectMs = 1000
const connectMs = 2000
/** Milliseconds without a byte after which a connection on which something is asked is given up for another. */
const silentMs = 5000
/** Milliseconds between two looks at a server that is connected and does not do what it should. */
const lookMs = 1000
const prefix = 'vllm-router:limits:'
/** No name of a tenant. */
const probeKey = `${prefix}:probe`
const probe: ShareRequest = { limits: {}, charge: noAmounts, want: noAmounts, slots: 1 }

type Script = (key: string, ...args: readonly (string | number)[]) => Promise<readonly (string | number)[]>

/**
 * The shares of tenants in Redis or Valkey, for several routers. It is not waited for longer than a moment, and nothing
 * is sent while it is gone: it reconnects by itself.
 */
export class RedisStore implements LimitsStore {
  readonly #client: Redis
  readonly #share: Script
  readonly #options: RedisStoreOptions
  #isUp = false
  /** Undefined until the first attempt is over: that nobody was there from the start is told, too. */
  #told: boolean | undefined
  #closed = false
  #late = 0
  #lastError = 'not connected'
  #cancelLook: (() => void) | undefined

  /** Connects in the background. The client is loaded only here: most routers have no store. */
  static async open(options: RedisStoreOptions): Promise<RedisStore> {
    const { Redis } = await import('ioredis')
    const { tls, ...address } = storeAddress(options.url)
    const client = new Redis({
      ...given(address),
      ...(tls && { tls: { servername: address.host } }),
      lazyConnect: true,
      enableOfflineQueue: false,
      autoResendUnfulfilledCommands: false,
      maxRetriesPerRequest: 0,
      connectTimeout: connectMs,
      socketTimeout: silentMs,
      retryStrategy: (times) => Math.min(longestReconnectMs, 25 * 2 ** Math.min(times, 10)),
      connectionName: 'vllm-router',
    })
    return new RedisStore(client, options)
  }

  private constructor(client: Redis, options: RedisStoreOptions) {
    this.#client = client
    this.#options = options
    client.defineCommand('vllmRouterShare', { numberOfKeys: 1, lua: shareScript })
    this.#share = (client as unknown as { vllmRouterShare: Script }).vllmRouterShare.bind(client)
    client.on('ready', () => {
      this.#lastError = 'the connection was closed'
      void this.#look()
    })
    client.on('error', (error: Error) => {
      this.#lastError = error.message
    })
    client.on('close', () => this.#changed(false, this.#lastError))
    // That it fails is told by `error`, and it tries again.
    client.connect().catch(() => {})
  }

  get isUp(): boolean {
    return this.#isUp
  }

  async exchange(tenant: string, request: ShareRequest): Promise<ShareAnswer> {
    try {
      const answer = await this.#ask(prefix + tenant, request)
      this.#late = 0
      return answer
    } catch (error) {
      this.#failed(error)
      throw error
    }
  }

  /** What this process has taken is given back before, by `TenantLimiter.close`. */
  close(): void {
    this.#closed = true
    this.#cancelLook?.()
    this.#client.disconnect()
  }

  async #ask(key: string, { limits, charge, want, slots }: ShareRequest): Promise<ShareAnswer> {
    const { requestsInFlight = -1 } = limits
    const figures = perMinute(limits).flatMap((limit, index) => [
      limit === Number.POSITIVE_INFINITY ? -1 : limit,
      charge[index] ?? 0,
      want[index] ?? 0,
    ])
    const said = this.#share(key, this.#options.id, heldMs, requestsInFlight, slots, ...figures)
    return await this.#inTime(said.then(answerIn))
  }

  #inTime(answer: Promise<ShareAnswer>): Promise<ShareAnswer> {
    const { clock } = this.#options
    return new Promise((resolve, reject) => {
      let cancel = (): void => {}
      const wait = (rounds: number): void => {
        const due = clock.now() + answerMs
        cancel = clock.after(answerMs, () => {
          // This process itself was too busy to look: that says nothing about the server.
          if (clock.now() > due + busyMs && rounds > 1) return wait(rounds - 1)
          reject(new LateAnswer(`no answer within ${answerMs} ms`, answer))
        })
      }
      wait(busyRounds)
      answer.then(resolve, reject).finally(() => cancel())
    })
  }

  /** Whether it does what it should: one that only reads, or is loading, takes connections too. */
  async #look(): Promise<void> {
    this.#cancelLook?.()
    this.#cancelLook = undefined
    try {
      await this.#ask(probeKey, probe)
      this.#changed(true, '')
    } catch (error) {
      this.#failed(error)
    }
  }

  #failed(error: unknown): void {
    if (this.#closed) return
    if (error instanceof LateAnswer && this.#isUp && ++this.#late < mostLate) return
    this.#late = 0
    this.#changed(false, error instanceof Error ? error.message : String(error))
    // While it is not connected, `ready` is waited for.
    if (this.#client.status === 'ready')
      this.#cancelLook ??= this.#options.clock.after(lookMs, () => void this.#look())
  }

  #changed(isUp: boolean, reason: string): void {
    if (this.#told === isUp || this.#closed) return
    this.#told = isUp
    this.#isUp = isUp
    this.#options.onChange(isUp, reason)
  }
}

/** What the script says. */
function answerIn(said: readonly (string | number)[]): ShareAnswer {
  const [grantedRequests, requests, grantedPrompt, prompt, grantedCompletion, completion] = said.map(Number)
  return {
    granted: [grantedRequests, grantedPrompt, grantedCompletion] as unknown as Amounts,
    used: [requests, prompt, completion] as unknown as Amounts,
    slots: Number(said[6]),
    slotsHeld: Number(said[7]),
  }
}

/** Without what is not given: the client would take `undefined` for a word. */
function given({ host, port, username, password, db }: Omit<StoreAddress, 'tls'>) {
  return {
    ...{ host, port, db },
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
  }
}
