import pino from 'pino'
import type { ConfigInput } from '../../app/config/settings.ts'
import { createGateway, type Gateway } from '../../app/index.ts'
import type { TenantLimits } from '../../http/tenant.ts'
import { hashOfKey } from '../../middleware/key-ring.ts'
import { metricValue, parseMetrics } from './metrics.ts'
import { rawRequest } from './raw-client.ts'
import type { Scope } from './scope.ts'
import { type Answered, send } from './send-all.ts'

export interface TenantRouter {
  readonly gateway: Gateway
  readonly port: number
  readonly logs: readonly Record<string, unknown>[]
  /** Reloads: other limits of the tenant; undefined: it is gone. */
  use(limits: TenantLimits | undefined): void
  ask(json?: object, path?: string): Promise<Answered>
  read(path: string): Promise<unknown>
  post(path: string, json: object): Promise<unknown>
  metric(name: string, labels?: Readonly<Record<string, string>>): Promise<number | undefined>
}

const completion = { model: 'test-model', prompt: 'hi', max_tokens: 5 }

/** The key of the tenant `team-a`, long enough to be random. */
const tenantKey = 'sk-team-a-0123456789-0123456789-0123456789-0123456789'
export const tenantHash = hashOfKey(tenantKey)
export const tenantHeaders = { authorization: `Bearer ${tenantKey}` }

/** A router within the test with one tenant, `team-a`. */
export async function tenantRouter(
  t: Scope,
  limits: TenantLimits,
  options: ConfigInput,
): Promise<TenantRouter> {
  const logs: Record<string, unknown>[] = []
  const log = pino({ level: 'info' }, { write: (line: string) => void logs.push(JSON.parse(line)) })
  const config = (wanted: TenantLimits | undefined): ConfigInput => ({
    ...{ port: 0, prometheusPort: 0 },
    keys: wanted === undefined ? [] : [{ name: 'team-a', hash: tenantHash, limits: wanted }],
    ...options,
  })
  const gateway = await createGateway(config(limits), { log })
  t.after(() => gateway.close())
  const { api, operations } = await gateway.start()
  const [port, operationsPort] = [api, operations].map((url) => Number(new URL(url).port)) as [number, number]
  const read = async (path: string) => (await send(operationsPort, { path })).body.bytes.toString()
  return {
    ...{ gateway, port, logs },
    use: (next) => gateway.reconfigure(config(next)),
    ask: (json = completion, path = '/v1/completions') => send(port, { path, json, headers: tenantHeaders }),
    read: async (path) => JSON.parse(await read(path)) as unknown,
    post: async (path, json) =>
      JSON.parse((await rawRequest({ port: operationsPort, path, json }).text()).text) as unknown,
    metric: async (name, labels) => metricValue(parseMetrics(await read('/metrics')), name, labels),
  }
}
