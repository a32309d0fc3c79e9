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
 * @param wallNow milliseconds since 1970: Anthropic's clients are told a time of day
 */
export function limitFields(account: TenantAccount, dialect: Dialect, wallNow = Date.now): Field[] {
  const fields: Field[] = []
  if (dialect === 'anthropic') {
    for (const [index, names] of anthropic.entries()) {
      if (account.limit(index) === Number.POSITIVE_INFINITY) continue
      const until = new Date(wallNow() + resetMs(account, index))
      put(fields, names, account, index, until.toISOString())
    }
    return fields
  }
  if (account.limit(requests) !== Number.POSITIVE_INFINITY)
    put(fields, openaiRequests, account, requests, duration(resetMs(account, requests)))
  const tokens = partLeft(account, completion) < partLeft(account, prompt) ? completion : prompt
  if (account.limit(tokens) !== Number.POSITIVE_INFINITY)
    put(fields, openaiTokens, account, tokens, duration(resetMs(account, tokens)))
  return fields
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

function put(fields: Field[], names: Names, account: TenantAccount, index: number, reset: string): void {
  const left = Math.max(0, account.limit(index) - account.used(index))
  fields.push(
    [names.limit, String(account.limit(index))],
    [names.remaining, String(Math.floor(left))],
    [names.reset, reset],
  )
}

/** Milliseconds until all of the limit is there again. */
export function resetMs(account: TenantAccount, index: number): number {
  const used = account.used(index)
  return used === 0 ? 0 : (used * 60_000) / account.limit(index)
}

/** Infinite where there is no limit: the other one is told then. */
function partLeft(account: TenantAccount, index: number): number {
  const limit = account.limit(index)
  return limit === Number.POSITIVE_INFINITY ? limit : (limit - account.used(index)) / limit
}

/** As OpenAI writes it: `120ms`, `7s`, `6m0s`. Rounded up: whoever waits that long has waited long enough. */
function duration(ms: number): string {
  if (ms < 1000) return `${Math.ceil(ms)}ms`
  const seconds = Math.ceil(ms / 1000)
  return seconds < 60 ? `${seconds}s` : `${Math.floor(seconds / 60)}m${seconds % 60}s`
}
