import type { Context, MiddlewareHandler } from 'hono'
import { dialectOf, RouterError } from '../../http/errors.ts'
import { type Amounts, noAmounts } from '../../policies/limits/limits-store.ts'
import { type LimitName, type Reservation, TenantRefusal } from '../../policies/limits/tenant-account.ts'
import { isLimited, type TenantLimiter } from '../../policies/limits/tenant-limiter.ts'
import type { TokenEstimates } from '../../policies/limits/token-estimates.ts'
import type { GatewayContext } from '../request/context.ts'
import type { RequestRecord } from '../request/request-record.ts'
import { askedAmounts, askedModel } from './asked-tokens.ts'
import { limitFields } from './limit-fields.ts'

export interface TenantLimitsOptions {
  readonly limiter: TenantLimiter
  readonly estimates: TokenEstimates
  /** Told of each request that is turned away. */
  readonly onLimited: (tenant: string, limit: LimitName) => void
}

type C = Context<GatewayContext>

/**
 * Turns away what is beyond the limits of a tenant. What a request will use is estimated here, and settled at its end by
 * what the worker has counted; what never got to a worker costs nothing.
 *
 * @throws RouterError `tenant_rate_limited`
 */
export function tenantLimits(options: TenantLimitsOptions): MiddlewareHandler<GatewayContext> {
  const { limiter, estimates, onLimited } = options

  function goOn(
    c: C,
    next: () => Promise<void>,
    asked: Amounts,
    decision: Reservation | TenantRefusal,
  ): Promise<void> {
    const record = c.get('record')
    const { account } = decision
    record.tenant ??= account.name
    record.answerFields = limitFields(account, dialectOf(record.path), account.now())
    if (decision instanceof TenantRefusal) {
      onLimited(account.name, decision.limit)
      throw tenantRateLimited(decision)
    }
    const model = askedModel(c.get('payload'))
    const bytes = c.get('body')?.byteLength ?? 0
    record.onEnd(() => {
      record.answerFields = undefined
      const { usage, sentAt } = record
      const ms = sentAt === undefined ? 0 : account.now() - sentAt
      decision.settle(usedBy(record, asked, (most) => estimates.writtenIn(model, ms, most)))
      if (usage === undefined || asked[1] === 0) return
      const known = record.model === 'unknown' ? undefined : model
      estimates.learn(known, bytes, usage.prompt, usage.completion)
      estimates.learnPace(known, ms, usage.completion)
    })
    return next()
  }

  return function tenantLimits(c, next) {
    const tenant = c.get('tenant')
    if (tenant === undefined || !isLimited(tenant.limits)) return next()
    const request = { path: c.req.path, payload: c.get('payload'), body: c.get('body') }
    const asked = askedAmounts(request, estimates)
    const decision = limiter.take(tenant, asked)
    // Awaited only where the store has to be asked: the usual case costs no turn of the event loop.
    return decision instanceof Promise
      ? decision.then((made) => goOn(c, next, asked, made))
      : goOn(c, next, asked, decision)
  }
}

/**
 * What a request has used in the end, however often it was tried.
 *
 * @param written how many tokens of so many at most the worker has written until now
 */
export function usedBy(
  record: RequestRecord,
  asked: Amounts,
  written: (most: number) => number = (most) => most,
): Amounts {
  const { usage, tokenEvents, status, endReason } = record
  if (!hasReachedWorker(record)) return noAmounts
  if (usage !== undefined) return [1, usage.prompt, usage.completion]
  // Nobody asked for the usage, or the answer broke off: the prompt was read, and the events are counted.
  if (tokenEvents > 0) return [1, asked[1], tokenEvents]
  // Of a plain answer nothing is seen before its end, and the worker has written all the same.
  if (endReason === 'client_closed' || endReason === 'request_timeout')
    return [1, asked[1], record.stream ? 0 : written(asked[2])]
  if (status >= 300 || endReason !== 'completed') return [1, 0, 0]
  return record.eventStream ? [1, asked[1], 0] : asked
}

function hasReachedWorker({ attempts, failures, lastFailed }: RequestRecord): boolean {
  if (attempts === 0) return false
  return !lastFailed || failures.some(({ outcome }) => outcome !== 'unreachable')
}

const words: Readonly<Record<LimitName, string>> = {
  requests: 'requests per minute',
  prompt_tokens: 'prompt tokens per minute',
  completion_tokens: 'completion tokens per minute',
  requests_in_flight: 'requests in flight',
}

/** What the client is told. */
export function tenantRateLimited({ account, limit, figure, needs, waitMs }: TenantRefusal): RouterError {
  const needed = limit.endsWith('tokens') ? `; this request may need ${needs}` : ''
  const message = `${JSON.stringify(account.name)} is at its limit of ${figure} ${words[limit]}${needed}.`
  return new RouterError('tenant_rate_limited', message, {
    retryAfter: Math.max(1, Math.ceil(waitMs / 1000)),
  })
}
