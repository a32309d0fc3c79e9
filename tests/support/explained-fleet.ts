/** A router within the test, over scripted workers, that is asked where requests would go. */

import type { ConfigInput } from '../../app/config/settings.ts'
import { createGateway } from '../../app/gateway/gateway.ts'
import type { DryRun } from '../../app/request/dry-run.ts'
import { within } from './deadline.ts'
import { type RawHead, rawRequest } from './raw-client.ts'
import type { RawRequestOptions } from './request-bytes.ts'
import type { Scope } from './scope.ts'

const patience = 10_000

export interface Asked {
  readonly path?: string
  readonly headers?: Readonly<Record<string, string>>
}

export interface ExplainedFleet {
  readonly gateway: Awaited<ReturnType<typeof createGateway>>
  /** Sends a request to the API. */
  send(json: object | string, request?: RawRequestOptions): Promise<{ head: RawHead; text: string }>
  /** Asks the operations listener where it would go. */
  explain(json: object | string, asked?: Asked): Promise<DryRun>
  /** The same; the answer as it comes. */
  ask(json: object | string, query?: string, headers?: object): Promise<{ status: number; text: string }>
  /** `GET` on the operations listener. */
  read(path: string): Promise<string>
}

export async function explainedFleet(t: Scope, options: ConfigInput): Promise<ExplainedFleet> {
  const gateway = await createGateway({ port: 0, prometheusPort: 0, ...options })
  t.after(() => gateway.close())
  const listening = await gateway.start()
  const port = { api: portOf(listening.api), operations: portOf(listening.operations) }
  const ask: ExplainedFleet['ask'] = (json, query = '', headers = {}) => {
    const body = typeof json === 'string' ? json : JSON.stringify(json)
    const all = { 'content-type': 'application/json', ...headers }
    const request = {
      port: port.operations,
      method: 'POST',
      path: `/debug/route${query}`,
      headers: all,
      body,
    }
    return within(patience, rawRequest(request).text(), 'a dry run')
  }
  return {
    gateway,
    ask,
    async send(json, request = {}) {
      const body = typeof json === 'string' ? json : JSON.stringify(json)
      const headers = { 'content-type': 'application/json', ...request.headers }
      const path = '/v1/chat/completions'
      const exchange = rawRequest({ port: port.api, method: 'POST', path, ...request, body, headers })
      const head = await within(patience, exchange.head, 'a head')
      return { head, text: (await within(patience, exchange.body, 'an answer')).bytes.toString() }
    },
    async explain(json, { path, headers } = {}) {
      const query = path === undefined ? '' : `?path=${encodeURIComponent(path)}`
      const { status, text } = await ask(json, query, headers)
      if (status !== 200) throw new Error(`${status}: ${text}`)
      return JSON.parse(text)
    },
    async read(path) {
      const { text } = await within(patience, rawRequest({ port: port.operations, path }).text(), path)
      return text
    },
  }
}

function portOf(url: string): number {
  return Number(new URL(url).port)
}
