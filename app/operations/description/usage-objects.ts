import type { JsonSchema } from '../../config/json-schema.ts'
import type { UsageHour, UsageReport } from '../../usage/usage-report.ts'
import type { UsageCounts } from '../../usage/usage-row.ts'
import { count, type Fields, flag, list, number, object, orNull, text, time } from './fields.ts'

const counts: Fields<UsageCounts> = {
  requests: count('requests that were sent to a worker and have ended'),
  prompt_tokens: count('as workers counted them'),
  cached_tokens: count('those of them that the worker had in its prefix cache'),
  completion_tokens: count('as workers counted them; else the events of a stream that had content'),
  unmetered_requests: count('requests of which the worker told no usage: their prompts are missing'),
  worker_seconds: number('time of workers, each moment divided by the requests that the router had there'),
}

const hour = object<UsageHour>('one hour of one tenant and one model', {
  hour: time('its beginning'),
  tenant: orNull(text('its name in the list of keys, else `other`; null: requests without a tenant')),
  model: text('as workers list it, else `unknown`'),
  ...counts,
})

const report = object<UsageReport>('what tenants have used', {
  from: time('beginning of the first hour'),
  to: time('end of the last hour'),
  retention_days: count('how long hours are kept'),
  lasts: flag('whether they are kept through a restart (`--usage-dir`)'),
  total: object<UsageCounts>('all of the hours together', counts),
  hours: list('by hour, tenant and model; those without any request are left out', hour),
})

/** What `GET /usage` answers with, by name. */
export const usageObjects: Readonly<Record<string, JsonSchema>> = { Usage: report }

const used: UsageCounts = {
  ...{ requests: 1204, prompt_tokens: 2_310_442, cached_tokens: 1_806_080, completion_tokens: 402_118 },
  ...{ unmetered_requests: 3, worker_seconds: 2817.402113 },
}

export const exampleUsage: UsageReport = {
  from: '2026-11-28T09:00:00.000Z',
  to: '2026-11-28T10:00:00.000Z',
  retention_days: 32,
  lasts: true,
  total: used,
  hours: [{ hour: '2026-11-28T09:00:00.000Z', tenant: 'search', model: 'facebook/opt-350m', ...used }],
}

export const exampleUsageCsv = `hour,tenant,model,requests,prompt_tokens,cached_tokens,completion_tokens,unmetered_requests,worker_seconds\r
2026-11-28T09:00:00.000Z,search,facebook/opt-350m,1204,2310442,1806080,402118,3,2817.402113\r
`
