import type { JsonSchema } from '../../config/json-schema.ts'
import type { LimitState, TenantLimitsView, TenantView } from '../router-control.ts'
import { count, flag, list, object, orNull, text } from './fields.ts'

const limit = orNull(
  object<LimitState>('of a limit per minute; null where the tenant has none', {
    limit: count('the limit'),
    used: count('what is used up: it drains at the rate of the limit'),
    remaining: count('what is left'),
    reset_seconds: count('seconds until all of it is there again'),
  }),
)

const tenantLimits = object<TenantLimitsView>('what tenants have used up of their limits', {
  store: orNull(
    object<NonNullable<TenantLimitsView['store']>>('where routers share the limits; null: nowhere', {
      address: text('without user and password'),
      up: flag('whether it can be used'),
    }),
  ),
  tenants: list(
    'tenants that have limits',
    object<TenantView>('one of them', {
      tenant: text('its name'),
      requests: limit,
      prompt_tokens: limit,
      completion_tokens: limit,
      requests_in_flight: object<TenantView['requests_in_flight']>('its requests in flight', {
        limit: orNull(count('how many may be; null: any number')),
        used: count('those of this router'),
      }),
    }),
  ),
})

/** What `GET /limits` answers with, by name. */
export const limitsObjects: Readonly<Record<string, JsonSchema>> = { TenantLimits: tenantLimits }

export const exampleLimits: TenantLimitsView = {
  store: { address: 'redis://redis:6379/0', up: true },
  tenants: [
    {
      tenant: 'team-a',
      requests: { limit: 600, used: 14, remaining: 586, reset_seconds: 2 },
      prompt_tokens: { limit: 200_000, used: 11_250, remaining: 188_750, reset_seconds: 4 },
      completion_tokens: null,
      requests_in_flight: { limit: 32, used: 3 },
    },
  ],
}
