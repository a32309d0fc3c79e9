import type { Dialect } from '../../http/errors.ts'
import type { TenantAccount } from '../../policies/limits/tenant-account.ts'
import type { Field } from '../request/request-record.ts'

const requests = 0
const prompt = 1
const completion = 2

/** The names of OpenAI's fields, put together once. */
const openaiRequests = openaiNames('requests')
const openaiTokens = openaiNames('tokens')
const anthropic = [
  anthropicNames('requests'),
  anthropicNames('input-tokens'),
  anthropicNames('output-tokens'),
] as const

/**
 * The header fields that tell a tenant how much is left of its limits, in the words of the API that it uses. OpenAI has
 * one limit of tokens: that of which the smaller part is left.
 *
 * @param now on the clock of the account
 * @param wallNow milliseconds since 1970: Anthropic's clients are told a time of day
 */
export function limitFields(
  account: TenantAccount,
  dialect: Dialect,
  now: number,
  wallNow = Date.now,
): Field[] {
  const fields: Field[] = []
  if (dialect === 'anthropic') {
    for (const [index, names] of anthropic.entries()) {
      const limit = account.limit(index)
      if (limit === Number.POSITIVE_INFINITY) continue
      const used = account.used(index, now)
      put(fields, names, limit, used, new Date(wallNow() + resetMs(limit, used)).toISOString())
    }
    return fields
  }
  const limit = account.limit(requests)
  if (limit !== Number.POSITIVE_INFINITY) {
    const used = account.used(requests, now)
    put(fields, openaiRequests, limit, used, duration(resetMs(limit, used)))
  }
  putTokens(fields, account, now)
  return fields
}

function putTokens(fields: Field[], account: TenantAccount, now: number): void {
  const [ofPrompt, ofCompletion] = [account.limit(prompt), account.limit(completion)]
  const [readTokens, written] = [account.used(prompt, now), account.used(completion, now)]
  const isCompletion = partLeft(ofCompletion, written) < partLeft(ofPrompt, readTokens)
  const limit = isCompletion ? ofCompletion : ofPrompt
  if (limit === Number.POSITIVE_INFINITY) return
  const used = isCompletion ? written : readTokens
  put(fields, openaiTokens, limit, used, duration(resetMs(limit, used)))
}

interface Names {
  readonly limit: string
  readonly remaining: string
  readonly reset: string
}

function openaiNames(what: string): Names {
  const name = (part: string) => `x-ratelimit-${part}-${what}`
  return { limit: name('limit'), remaining: name('remaining'), reset: name('reset') }
}

function anthropicNames(what: string): Names {
  const name = (part: string) => `anthropic-ratelimit-${what}-${part}`
  return { limit: name('limit'), remaining: name('remaining'), reset: name('reset') }
}

function put(fields: Field[], names: Names, limit: number, used: number, reset: string): void {
  fields.push(
    [names.limit, String(limit)],
    [names.remaining, String(Math.max(0, Math.floor(limit - used)))],
    [names.reset, reset],
  )
}

/** Milliseconds until all of the limit is there again. */
export function resetMs(limit: number, used: number): number {
  return used === 0 ? 0 : (used * 60_000) / limit
}

/** Infinite where there is no limit: the other one is told then. */
function partLeft(limit: number, used: number): number {
  return limit === Number.POSITIVE_INFINITY ? limit : (limit - used) / limit
}

/** As OpenAI writes it: `120ms`, `7s`, `6m0s`. Rounded up: whoever waits that long has waited long enough. */
function duration(ms: number): string {
  if (ms < 1000) return `${Math.ceil(ms)}ms`
  const seconds = Math.ceil(ms / 1000)
  return seconds < 60 ? `${seconds}s` : `${Math.floor(seconds / 60)}m${seconds % 60}s`
}
