import { type SimulatedVllm, startSimulatedVllm } from '../../sim/server.ts'
import { within } from './deadline.ts'
import { rawRequest } from './raw-client.ts'
import type { Scope } from './scope.ts'

export const path = '/v1/chat/completions'
export const messages = [{ role: 'user', content: 'hi' }]
export const json = { messages, max_tokens: 4, stream: true }

/** A simulated server that ends with the test. */
export async function sim(
  t: Scope,
  options: Parameters<typeof startSimulatedVllm>[0] = {},
): Promise<SimulatedVllm> {
  const server = await startSimulatedVllm(options)
  t.after(() => server.close())
  return server
}

/** What came back, and how the connection ended. */
export async function ending(port: number, body: object = json, headers: Record<string, string> = {}) {
  const exchange = rawRequest({ port, path, json: body, headers })
  const { bytes, complete } = await within(5000, exchange.body, 'the end')
  const { how } = await within(5000, exchange.connection.closed, 'the close')
  const status = await exchange.head.then(
    (head) => head.status,
    () => undefined,
  )
  const data = exchange.events.map((event) => event.data)
  return { status, text: bytes.toString(), complete, how, data }
}
