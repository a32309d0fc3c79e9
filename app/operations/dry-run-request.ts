import type { Context } from 'hono'
import * as v from 'valibot'
import { RouterError } from '../../http/errors.ts'
import { headerOf } from '../../http/incoming.ts'
import type { GatewayContext } from '../request/context.ts'
import type { DryRunRequest } from '../request/dry-run.ts'

const query = v.strictObject({
  path: v.optional(
    v.pipe(v.string(), v.regex(/^\/(?!\/)[!-~]*$/, 'must be a path of the API, such as /v1/completions')),
    '/v1/chat/completions',
  ),
  tenant: v.optional(v.pipe(v.string(), v.nonEmpty('must be the name of a tenant'))),
})

/**
 * `POST /debug/route?path=/v1/completions`: its body and its header fields are those of the request that is asked about.
 *
 * @throws RouterError `invalid_request`, which names the parameter; `unsupported_media_type` for a compressed body;
 * `payload_too_large`, as for a client
 */
export async function dryRunRequest(
  c: Context<GatewayContext>,
  maxPayloadSize: number,
): Promise<DryRunRequest> {
  const { incoming } = c.env
  const { path, tenant } = checkedQuery(c.req.query())
  const encoding = headerOf(incoming.headers, 'content-encoding')
  if (encoding !== undefined && encoding.trim().toLowerCase() !== 'identity')
    throw new RouterError(
      'unsupported_media_type',
      'A dry run takes the body as it is: send it uncompressed.',
    )
  const body = await incoming.body(maxPayloadSize)
  return { path, tenant, headers: incoming.headers, body: body.bytes() }
}

function checkedQuery(given: Record<string, string>): v.InferOutput<typeof query> {
  const { success, output, issues } = v.safeParse(query, given, { abortEarly: true })
  if (success) return output
  const [issue] = issues
  const param = String(issue.path?.[0].key ?? '')
  const fault =
    issue.type === 'strict_object'
      ? `is no parameter; there are: ${Object.keys(query.entries).join(', ')}`
      : `${issue.message}, received ${issue.received}`
  throw new RouterError('invalid_request', `\`${param}\` ${fault}`, { param })
}
