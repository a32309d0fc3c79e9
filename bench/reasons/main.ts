/**
 * node|bun bench/reasons/main.ts: what parts of our own save beside what they stand in for, in one process without a network.
 * A part whose gain is gone is to be taken out again; docs/performance.md has the last figures.
 */

import { type Context, Hono, type MiddlewareHandler } from 'hono'
import { Counter, Registry } from 'prom-client'
import { tenantLimits } from '../../app/api/tenant-limits.ts'
import { BoundCounter } from '../../app/telemetry/bound-counter.ts'
import { headerOf } from '../../http/incoming.ts'
import { outlineJson } from '../../http/json/outline-json.ts'
import { RequestBody } from '../../http/request-body.ts'
import { apiKey } from '../../middleware/api-key.ts'
import type { GatewayEnv } from '../../middleware/gateway-env.ts'
import { hashOfKey, KeyRing } from '../../middleware/key-ring.ts'
import { sequence } from '../../middleware/sequence.ts'
import { tenantKey } from '../../middleware/tenant-key.ts'
import { TenantLimiter } from '../../policies/limits/tenant-limiter.ts'
import { TokenEstimates } from '../../policies/limits/token-estimates.ts'

type Step = () => unknown

/** A decision, what it stands in for, and what was decided. */
interface Reason {
  readonly name: string
  readonly instead: Step
  readonly ours: Step
}

const rounds = 9
/** Milliseconds of CPU of one round. */
const roundMs = 150

/** Microseconds of CPU of one call, the median of several rounds that take turns. */
async function measure({ instead, ours }: Reason): Promise<{ instead: number; ours: number }> {
  const times = { instead: [] as number[], ours: [] as number[] }
  for (let round = 0; round < rounds; round++) {
    times.instead.push(await cpuOf(instead))
    times.ours.push(await cpuOf(ours))
  }
  return { instead: median(times.instead), ours: median(times.ours) }
}

async function cpuOf(step: Step): Promise<number> {
  const start = process.cpuUsage()
  let calls = 0
  for (;;) {
    for (let at = 0; at < 200; at++) {
      const result = step()
      if (result instanceof Promise) await result
    }
    calls += 200
    const { user, system } = process.cpuUsage(start)
    if (user + system >= roundMs * 1000) return (user + system) / calls
  }
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!
}

function counters(): Reason {
  const registry = new Registry()
  const labelNames = ['worker', 'status'] as const
  const theirs = new Counter({
    name: 'theirs',
    help: 'x',
    labelNames: [...labelNames],
    registers: [registry],
  })
  const ours = new BoundCounter({ name: 'ours', help: 'x', labelNames, registry })
  return {
    name: 'a counter of two labels: BoundCounter beside prom-client',
    instead: () => theirs.inc({ worker: 'http://10.0.0.1:8000', status: '200' }),
    ours: () => ours.of('http://10.0.0.1:8000', '200').inc(),
  }
}

function chains(): Reason {
  const link: MiddlewareHandler = (_, next) => next()
  const links = Array.from({ length: 8 }, () => link)
  const single = new Hono()
  for (const one of links) single.use(one)
  single.get('/', (c) => c.body(null))
  const joined = new Hono().use(sequence(...links))
  joined.get('/', (c) => c.body(null))
  const request = new Request('http://localhost/')
  return {
    name: "eight middlewares: sequence beside Hono's chain",
    instead: () => single.fetch(request),
    ours: () => joined.fetch(request),
  }
}

function outlines(bytes: number): Reason {
  const content = 'He said \\"no\\".\\n'.repeat(Math.ceil(bytes / 16))
  const text = `{"model":"m","messages":[{"role":"user","content":"${content}"}],"stream":true}`
  const pieces = new RequestBody([Buffer.from(text)])
  return {
    name: `a prompt of ${Math.round(text.length / 1000)} KB: outline, then JSON.parse, beside JSON.parse alone`,
    instead: () => JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(pieces.bytes())),
    ours: () => JSON.parse(outlineJson(pieces) ?? ''),
  }
}

/** A client with the last of so many keys. */
function clientKeys(count: number): Reason {
  const keys = Array.from({ length: count }, (_, at) => `sk-${at}-${'x'.repeat(43)}`)
  const usual = { priority: 'normal', weight: 1, limits: {} } as const
  const ring = new KeyRing(keys.map((key, at) => ({ ...usual, name: `t-${at}`, hash: [hashOfKey(key)] })))
  const headers = [['authorization', `Bearer ${keys.at(-1)}`]] as const
  const incoming = { headers, header: (name: string) => headerOf(headers, name) }
  const c = { env: { incoming }, set: () => {} } as unknown as Context<GatewayEnv>
  const next = () => Promise.resolve()
  const [looking, comparing] = [tenantKey({ ring }), apiKey({ keys })]
  return {
    name: `${count} keys: the tenant of one looked up, beside a comparison with all`,
    instead: () => comparing(c, next),
    ours: () => looking(c, next),
  }
}

/** A tenant with all limits, in one process: its key, what it asks for, the fields of its answer, what it has used. */
function tenants(): Reason {
  const key = `sk-${'x'.repeat(43)}`
  const limits = {
    requestsPerMinute: 1e9,
    promptTokensPerMinute: 1e12,
    completionTokensPerMinute: 1e12,
    requestsInFlight: 1000,
  }
  const entry = { name: 't', priority: 'normal', weight: 1, limits, hash: [hashOfKey(key)] } as const
  const headers = [['authorization', `Bearer ${key}`]] as const
  const incoming = { headers, header: (name: string) => headerOf(headers, name) }
  const payload = { model: 'm', messages: [{ role: 'user', content: 'x'.repeat(200) }], max_tokens: 16 }
  const body = new RequestBody([Buffer.from(JSON.stringify(payload))])
  const path = '/v1/chat/completions'
  const usage = { prompt: 60, completion: 16 }
  const facts = { path, usage, model: 'm', attempts: 1, failures: [], lastFailed: false, status: 200 }
  const clock = { now: () => performance.now(), after: () => () => {} }
  const options = { limiter: new TenantLimiter({ clock }), estimates: new TokenEstimates(), onLimited() {} }
  const known = tenantKey({ ring: new KeyRing([entry]) }) as Link
  const limited = tenantLimits(options) as unknown as Link
  const next = () => Promise.resolve()
  const way = (first: Link, second: Link) => () => {
    let end = (): void => {}
    const record = { ...facts, onEnd: (listener: () => void) => (end = listener) }
    const values: Record<string, unknown> = { payload, body, record, tenant: undefined }
    const c = {
      env: { incoming },
      req: { path },
      get: (name: string) => values[name],
      set: (name: string, value: unknown) => (values[name] = value),
    } as unknown as Context<GatewayEnv>
    return first(c, () => second(c, next)).then(() => end())
  }
  const pass: Link = (_, go) => go()
  return {
    name: 'a tenant with all four limits, from its key to the end of its request, beside no keys',
    instead: way(pass, pass),
    ours: way(known, limited),
  }
}

type Link = (c: Context<GatewayEnv>, next: () => Promise<void>) => Promise<void>

const runtime = typeof Bun === 'undefined' ? `Node ${process.versions.node}` : `Bun ${Bun.version}`
process.stdout.write(`${runtime}: microseconds of CPU a call, medians of ${rounds} alternating rounds\n\n`)
process.stdout.write('| instead | ours | what |\n|---|---|---|\n')
for (const reason of [
  counters(),
  chains(),
  outlines(64_000),
  outlines(220_000),
  clientKeys(1),
  clientKeys(1000),
  tenants(),
]) {
  const { instead, ours } = await measure(reason)
  process.stdout.write(`| ${instead.toFixed(2)} | ${ours.toFixed(2)} | ${reason.name} |\n`)
}
