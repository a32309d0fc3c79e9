import pino from 'pino'
import type { ConfigInput } from '../../app/config/settings.ts'
import { createGateway, type Gateway } from '../../app/index.ts'
import { within } from './deadline.ts'
import { type OtlpReceiver, startOtlpReceiver } from './otlp-receiver.ts'
import { type RawExchange, type RawRequestOptions, rawRequest } from './raw-client.ts'
import type { Scope } from './scope.ts'
import { type ScriptedWorker, startScriptedWorker } from './scripted-worker.ts'

export interface TracedRouter {
  readonly receiver: OtlpReceiver
  readonly workers: readonly ScriptedWorker[]
  readonly gateway: Gateway
  readonly port: number
  readonly operationsPort: number
  /** Lines of its log. */
  readonly lines: readonly Readonly<Record<string, unknown>>[]
  readonly options: ConfigInput
  open(request?: RawRequestOptions): RawExchange
  ask(request?: RawRequestOptions): Promise<{ readonly status: number; readonly text: string }>
}

export const chatPath = '/v1/chat/completions'
export const chat = { model: 'test-model', messages: [{ role: 'user', content: 'hi' }] }

/** A gateway that sends traces to a receiver; `options` can send them elsewhere. */
export async function startTraced(t: Scope, changes: ConfigInput = {}, size = 1): Promise<TracedRouter> {
  const receiver = await startOtlpReceiver(t)
  const workers = await Promise.all(Array.from({ length: size }, () => startScriptedWorker(undefined, { t })))
  const options: ConfigInput = {
    ...{ port: 0, prometheusPort: 0, workerUrls: workers.map(({ url }) => url) },
    otlpTracesEndpoint: receiver.url,
    ...changes,
  }
  const lines: Readonly<Record<string, unknown>>[] = []
  const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(JSON.parse(line)) })
  const gateway = await createGateway(options, { log })
  t.after(() => gateway.close())
  const { api, operations } = await gateway.start()
  const port = Number(new URL(api).port)
  const open = (request: RawRequestOptions = {}) =>
    rawRequest({ port, path: chatPath, json: chat, ...request })
  return {
    ...{ receiver, workers, gateway, port, lines, options, open },
    operationsPort: Number(new URL(operations).port),
    ask: (request) => within(10_000, open(request).text(), 'an answer'),
  }
}
