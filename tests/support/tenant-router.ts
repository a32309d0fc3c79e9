import pino from 'pino'
import type { ConfigInput } from '../../app/config/settings.ts'
import { createGateway, type Gateway } from '../../app/index.ts'
import type { Tenant, TenantLimits } from '../../http/tenant.ts'
import { metricValue, parseMetrics } from './metrics.ts'
import { rawRequest } from './raw-client.ts'
import type { Scope } from './scope.ts'
import { type Answered, send } from './send-all.ts'
import { tenantOf } from './tenants.ts'

export interface TenantRouter {
  readonly gateway: Gateway
  readonly port: number
  readonly logs: readonly Record<string, unknown>[]
  /** The tenant that all clients are from now on. */
  use(limits: TenantLimits): void
  ask(json?: object, path?: string): Promise<Answered>
  read(path: string): Promise<unknown>
  post(path: string, json: object): Promise<unknown>
  metric(name: string, labels?: Readonly<Record<string, string>>): Promise<number | undefined>
}

const completion = { model: 'test-model', prompt: 'hi', max_tokens: 5 }

/** A router within the test, to which every client is the same tenant. */
export async function tenantRouter(
  t: Scope,
  limits: TenantLimits,
  options: ConfigInput,
): Promise<TenantRouter> {
  let tenant: Tenant = tenantOf(limits)
  const logs: Record<string, unknown>[] = []
  const log = pino({ level: 'info' }, { write: (line: string) => void logs.push(JSON.parse(line)) })
  const gateway = await createGateway(
    {
      ...{ port: 0, prometheusPort: 0 },
      middleware: [
        {
          position: 'before',
          middleware: (c, next) => {
            c.set('tenant', tenant)
            return next()
          },
        },
      ],
      ...options,
    },
    { log },
  )
  t.after(() => gateway.close())
  const { api, operations } = await gateway.start()
  const [port, operationsPort] = [api, operations].map((url) => Number(new URL(url).port)) as [number, number]
  const read = async (path: string) => (await send(operationsPort, { path })).body.bytes.toString()
  return {
    ...{ gateway, port, logs },
    use(next) {
      tenant = tenantOf(next)
    },
    ask: (json = completion, path = '/v1/completions') => send(port, { path, json }),
    read: async (path) => JSON.parse(await read(path)) as unknown,
    post: async (path, json) =>
      JSON.parse((await rawRequest({ port: operationsPort, path, json }).text()).text) as unknown,
    metric: async (name, labels) => metricValue(parseMetrics(await read('/metrics')), name, labels),
  }
}
