import type { JsonObject } from '../../http/json/json.ts'
import { bufferOver } from '../relay/event-scanner.ts'
import type { RequestRecord } from '../request/request-record.ts'
import type { ByteSink, ByteSource } from '../upstream/http-client.ts'
import type { Pool } from '../workers/pool.ts'
import type { Worker } from '../workers/worker.ts'

/** Ids that are remembered; some 15 MB. */
const rememberedIds = 100_000
/** Longest id that is. */
const maxIdLength = 128

const route = '/v1/responses'
/** GET, DELETE, cancel, input items; `render` is a route of its own. */
const storedResponse = /^\/v1\/responses\/(?!render$)([^/]+)(?:\/[a-z_]+)?$/

/** The same wherever a server has its routes, and however the path is written. */
const anyStored = /\/responses\/+(?!render$)([^/]+)/gi
const anyRoute = /\/responses\/*$/i

/** Whose request made a response. */
export interface Made {
  /** Null: that of somebody who is no tenant. */
  readonly tenant: string | null
}

interface Known extends Made {
  readonly worker: Worker
}

/**
 * The id of the response that some worker could take a request to be about, wherever it has its routes; undefined where
 * it is about none, empty where it cannot be told.
 *
 * @param path with its escapes resolved
 * @param isUnread there is a body, and the router cannot read it
 */
export function storedResponseIn(
  path: string,
  payload: JsonObject | undefined,
  isUnread: boolean,
): string | undefined {
  if (anyRoute.test(path)) {
    const previous = payload?.previous_response_id
    return isUnread ? '' : typeof previous === 'string' ? previous : undefined
  }
  const ids = [...path.matchAll(anyStored)].map(([, id = '']) => id)
  return ids.length > 1 ? '' : ids[0]
}

/**
 * Who has which response. vLLM keeps the state of its Responses API in the memory of one server: a request about a
 * response, or one that goes on from it, makes sense on that one only. What the router has not seen made (it was
 * restarted, or another one was asked then) is looked for on one worker after the other.
 */
export class ResponseState {
  readonly #pool: Pool
  readonly #maxIds: number
  /** The one used last is the last. */
  readonly #makers = new Map<string, Known>()

  constructor(pool: Pool, maxIds = rememberedIds) {
    this.#pool = pool
    this.#maxIds = maxIds
  }

  /** The id of the response that a request is about; undefined where it is about none. */
  idIn(path: string, payload: JsonObject | undefined): string | undefined {
    if (!path.startsWith(route)) return undefined
    const previous = path === route ? payload?.previous_response_id : undefined
    if (typeof previous === 'string') return previous
    return storedResponse.exec(path)?.[1]
  }

  /** Whose it is; undefined where nobody knows. */
  madeBy(id: string): Made | undefined {
    const known = this.#makers.get(id)
    return known && { tenant: known.tenant }
  }

  /** The worker that has it; undefined where nobody knows. */
  makerOf(id: string): Worker | undefined {
    const known = this.#makers.get(id)
    if (known === undefined) return undefined
    this.#makers.delete(id)
    this.#makers.set(id, known)
    return this.whoHas(id)
  }

  /** The same, for somebody who only asks: it does not count as a use. */
  whoHas(id: string): Worker | undefined {
    const worker = this.#makers.get(id)?.worker
    return worker?.removed === true ? undefined : worker
  }

  /** Whether a good answer to a request of this path has a response in it. */
  concerns(path: string): boolean {
    return path === route || storedResponse.test(path)
  }

  /** The worker of a good answer has the response that is in it. True when there was one. */
  learn({ workerId, tenant }: RequestRecord, body: Uint8Array): boolean {
    const id = firstId.exec(bufferOver(body).toString('latin1', 0, lookedAt))?.[1]
    if (id === undefined) return false
    const maker = workerId === undefined ? undefined : this.#pool.withId(workerId)
    if (id.length > maxIdLength || maker === undefined) return true
    // Who reads it later has not made it.
    const made = this.#makers.get(id) ?? { tenant: tenant ?? null }
    this.#makers.delete(id)
    this.#makers.set(copied(id), { worker: maker, tenant: made.tenant })
    if (this.#makers.size > this.#maxIds) this.#makers.delete(this.#makers.keys().next().value ?? '')
    return true
  }

  /** The same for an answer that is still coming: from its first bytes, before the client has them. */
  learnFrom(record: RequestRecord, source: ByteSource): ByteSource {
    return new FirstLook(source, (bytes) => this.learn(record, bytes))
  }
}

/** What an expression has found is a view of the whole text, and would keep all of it. */
function copied(text: string): string {
  return Buffer.from(text, 'latin1').toString('latin1')
}

/** Bytes; the id of a response is its first field. */
const lookedAt = 4096
const firstId = /"id":\s*"([^"\\]+)"/

/** Chunks that are looked at: comments may come before the first event. */
const maxLooks = 16

/** A source that is looked at on its way until something has been found. */
class FirstLook implements ByteSource, ByteSink {
  readonly #source: ByteSource
  readonly #look: (bytes: Uint8Array) => boolean
  #sink: ByteSink | undefined
  #looks = maxLooks

  constructor(source: ByteSource, look: (bytes: Uint8Array) => boolean) {
    this.#source = source
    this.#look = look
  }

  flow(sink: ByteSink): void {
    this.#sink = sink
    this.#source.flow(this)
  }

  resume(): void {
    this.#source.resume()
  }

  cancel(): void {
    this.#source.cancel()
  }

  write(bytes: Uint8Array): boolean {
    if (this.#looks > 0) this.#looks = this.#look(bytes) ? 0 : this.#looks - 1
    return this.#sink?.write(bytes) ?? true
  }

  end(): void {
    this.#sink?.end()
  }

  fail(error: unknown): void {
    this.#sink?.fail(error)
  }
}
