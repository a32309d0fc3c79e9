/** One request as the routes see it, and the server it came to. */
import { randomBytes } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import { notFound } from './api-error.ts'
import type { Engine } from './engine.ts'
import type { FaultSet } from './fault-set.ts'
import type { Ledger, SimStats } from './ledger.ts'
import type { SimSettings } from './options.ts'
import type { Outage } from './outage.ts'
import type { Json } from './request-body.ts'
import type { ResponseStore } from './response-store.ts'

export interface Call {
  method: string
  /** Without query string. */
  path: string
  query: string
  headers: IncomingHttpHeaders
  body: Buffer
  /** The client's `X-Request-Id`. */
  requestId: string | undefined
}

/** What routes may use of their server. */
export interface SimContext {
  readonly settings: SimSettings
  readonly engine: Engine
  readonly faults: FaultSet
  readonly outage: Outage
  readonly ledger: Ledger
  readonly responses: ResponseStore
  readonly newId: () => string
  /** When the server started, in seconds since 1970. */
  readonly startedAt: number
  stats(): SimStats
  /** Requests that are neither answered nor left. */
  load(): number
}

/** Ids of 32 hex digits: a random half that tells servers apart and a counting half. */
export function idSource(): () => string {
  const half = randomBytes(8).toString('hex')
  let count = 0
  return () => half + (++count).toString(16).padStart(16, '0')
}

/** vLLM's request id: the prefix of the API and the client's own id or a new one. As JSON text, quotes included. */
export function answerId(sim: SimContext, call: Call, prefix: string): string {
  return JSON.stringify(`${prefix}-${call.requestId ?? sim.newId()}`)
}

/** Seconds since 1970, as the `created` of answers. */
export function now(): number {
  return Math.floor(Date.now() / 1000)
}

/** The model a body asks for; the first served one when it names none, as in vLLM. Throws 404. */
export function modelOf(sim: SimContext, body: Json): string {
  return servedModel(sim, body.model)
}

/** The served model of this name. Throws 404. */
export function servedModel(sim: SimContext, name: unknown): string {
  if (name === undefined || name === null || name === '') return sim.settings.models[0]
  if (typeof name !== 'string' || !sim.settings.models.includes(name)) {
    const shown = typeof name === 'string' ? name : JSON.stringify(name)
    throw notFound(`The model \`${shown}\` does not exist.`, 'model')
  }
  return name
}
