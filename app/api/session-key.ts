import type { Handler } from 'hono'
import { RouterError } from '../../http/errors.ts'
import type { Incoming } from '../../http/incoming.ts'
import type { JsonObject } from '../../http/json/json.ts'
import type { Tenant } from '../../http/tenant.ts'
import { firstHeader } from '../relay/headers.ts'
import type { GatewayContext } from '../request/context.ts'
import type { Pool } from '../workers/pool.ts'

/** Fields that name a session, or who stands for one; the first one counts. */
const headers = ['x-session-id', 'x-user-id', 'x-tenant-id'] as const
const fields = ['session_id', 'user', 'prompt_cache_key', 'previous_response_id'] as const

/** Characters; more are no name. */
const longest = 512

/**
 * What the client calls its session: of the header fields, then of the body. A request id or a trace id is none. The
 * same name of two tenants is two sessions.
 */
export function sessionKey(
  incoming: Pick<Incoming, 'headers'>,
  payload: JsonObject | undefined,
  tenant?: Tenant,
): string | undefined {
  const name = sessionName(incoming, payload)
  return name === undefined || tenant === undefined ? name : `${tenant.name}\0${name}`
}

function sessionName(
  incoming: Pick<Incoming, 'headers'>,
  payload: JsonObject | undefined,
): string | undefined {
  for (const name of headers) {
    const value = firstHeader(incoming.headers, name)
    if (isName(value)) return value
  }
  for (const name of fields) {
    const value = payload?.[name]
    if (isName(value)) return value
  }
  return undefined
}

/** Where that name stands: `header x-session-id`, `field user`; undefined where there is none. */
export function sessionSource(
  { headers: given }: Pick<Incoming, 'headers'>,
  payload: JsonObject | undefined,
): string | undefined {
  const header = headers.find((name) => isName(firstHeader(given, name)))
  if (header !== undefined) return `header ${header}`
  const field = fields.find((name) => isName(payload?.[name]))
  return field === undefined ? undefined : `field ${field}`
}

function isName(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= longest && !value.includes('\0')
}

/** `POST /finish_session`: the session named as for any request will not be used any more. */
export function finishSession({ policy }: Pool): Handler<GatewayContext> {
  return (c) => {
    const session = sessionKey(c.env.incoming, c.get('payload'), c.get('tenant'))
    if (session === undefined)
      throw new RouterError('invalid_request', '`session_id` is missing', { param: 'session_id' })
    policy.finish?.(session)
    return c.json({ finished: true })
  }
}
