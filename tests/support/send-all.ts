/** Many requests over a few kept-alive connections: the quickest way to get many cases through a router. */

import { within } from './deadline.ts'
import {
  openConnection,
  type RawBody,
  type RawConnection,
  type RawHead,
  type RawRequestOptions,
  rawRequest,
} from './raw-client.ts'

export interface Answered {
  readonly head: RawHead
  readonly body: RawBody
}

export interface SendAllOptions {
  readonly port: number
  /** Requests at a time, each on a connection of its own. */
  readonly connections: number
  /** Milliseconds for all of them, default 30000. */
  readonly withinMs?: number
}

/** The answers, in the order of the requests. Rejects when a request gets no head. */
export async function sendAll(
  requests: readonly RawRequestOptions[],
  { port, connections, withinMs = 30_000 }: SendAllOptions,
): Promise<readonly Answered[]> {
  const answers: Answered[] = []
  let next = 0
  const open = new Set<RawConnection>()
  async function lane(): Promise<void> {
    const connection = openConnection({ port })
    open.add(connection)
    while (next < requests.length) {
      const index = next++
      const exchange = connection.request(requests[index])
      const [head, body] = await Promise.all([exchange.head, exchange.body])
      answers[index] = { head, body }
    }
  }
  try {
    const lanes = Array.from({ length: Math.min(connections, requests.length) }, lane)
    await within(withinMs, Promise.all(lanes), `${requests.length} answers`)
    return answers
  } finally {
    for (const connection of open) connection.abort()
  }
}

/** One request that must be answered whole. */
export async function send(port: number, request: RawRequestOptions, withinMs = 10_000): Promise<Answered> {
  const exchange = rawRequest({ port, ...request })
  try {
    const both = Promise.all([exchange.head, exchange.body])
    const [head, body] = await within(withinMs, both, `${request.method ?? ''} ${request.path}`)
    return { head, body }
  } finally {
    exchange.abort()
  }
}
