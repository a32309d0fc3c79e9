import { RouterError } from '../../http/errors.ts'
import type { JsonObject } from '../../http/json/json.ts'
import { withMore, withNumber } from '../../http/json/top-level.ts'
import type { Standing } from '../../http/priority.ts'
import type { RequestBody } from '../../http/request-body.ts'
import type { PriorityClass } from '../../http/tenant.ts'

/** vLLM's `priority` by class: the lower the number, the sooner; 0 is what a request has that names none. */
const priorities: Readonly<Record<PriorityClass, number>> = { high: -100, normal: 0, low: 100 }

/** Routes whose requests have a priority in vLLM. */
const routes: ReadonlySet<string> = new Set([
  ...['/v1/chat/completions', '/v1/completions', '/v1/responses', '/inference/v1/generate'],
  ...['/v1/embeddings', '/pooling', '/classify', '/score', '/v1/score'],
  ...['/rerank', '/v1/rerank', '/v2/rerank'],
])

/**
 * The body with the priority of its class. One of the client's own stays where it is later than that: a client may put its
 * request behind others, not ahead of them. Only the bytes of that one value change.
 *
 * @param payload the body as it was read; undefined where it is no JSON object: then nothing changes
 * @throws RouterError `invalid_request` where the client's own priority must be changed, and cannot be found
 */
export function withPriority(
  body: RequestBody | undefined,
  payload: JsonObject | undefined,
  path: string,
  { priority: name }: Standing,
): RequestBody | undefined {
  if (body === undefined || payload === undefined || !routes.has(path)) return body
  const priority = priorities[name]
  const own = payload.priority
  if (own === undefined && priority === 0) return body
  if (own !== undefined && numberIn(own) >= priority) return body
  const changed =
    own === undefined ? withMore(body, 'priority', priority) : withNumber(body, 'priority', priority)
  if (changed !== undefined) return changed
  const message =
    'The priority of this request is not open to it, and could not be changed: leave "priority" out.'
  throw new RouterError('invalid_request', message, { param: 'priority' })
}

/** As vLLM reads it: its validation converts texts and truth values. What is surely no number counts as the soonest. */
function numberIn(own: unknown): number {
  if (typeof own === 'number') return own
  if (typeof own === 'boolean') return Number(own)
  return typeof own === 'string' && wholeNumber.test(own) ? Number(own) : Number.NEGATIVE_INFINITY
}

const wholeNumber = /^[+-]?\d{1,15}$/
