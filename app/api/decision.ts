import { headerOf, type Incoming } from '../../http/incoming.ts'
import { keyCheck } from '../../middleware/api-key.ts'
import type { Config } from '../config/settings.ts'
import { decisionField, explainField } from '../relay/headers.ts'
import type { Field, RequestRecord } from '../request/request-record.ts'
import { policyNameOf } from './policy-name.ts'

/** What writes the way of a request, for a client that may know it; undefined for all others. */
export type Explain = (headers: Incoming['headers']) => RequestRecord['explain']

/** Attempts that are named; a request goes through a whole fleet of busy workers. */
const mostNamed = 10

/** Undefined without an admin key: then nobody may know. */
export function explainFor(config: Config): Explain | undefined {
  const { adminApiKey } = config
  if (adminApiKey === undefined) return undefined
  const isKey = keyCheck([adminApiKey])
  const write = (record: RequestRecord, last?: string): Field => [
    decisionField,
    decisionOf(record, policyNameOf(config, record.model), last),
  ]
  return (headers) => (isKey(headerOf(headers, explainField)) ? write : undefined)
}

/**
 * `worker=<id> policy=cache_aware why=affinity attempts=<id>:unreachable,<id>:ok`: words with `=`, those left out of which
 * nothing is known.
 *
 * @param last outcome of the attempt that has not failed
 */
function decisionOf(record: RequestRecord, policy: string, last: string | undefined): string {
  const { workerId, errorCode, attempts, failures, lastFailed } = record
  const named = failures.map(({ workerId: id, outcome }) => `${id}:${outcome}`)
  if (workerId !== undefined && !lastFailed) named.push(`${workerId}:${last ?? errorCode ?? 'ok'}`)
  const shown = named.slice(-mostNamed)
  // Those that came before, and those that only had not what they were asked for.
  const more = attempts - shown.length
  const words: Readonly<Record<string, string | number | undefined>> = {
    worker: workerId,
    model: record.model === 'unknown' ? undefined : record.model,
    policy,
    why: workerId === undefined ? undefined : (record.why ?? 'stored_response'),
    candidates: workerId === undefined ? undefined : record.candidates,
    attempts: attempts === 0 ? undefined : [...(more > 0 ? [`+${more}`] : []), ...shown].join(),
    error: errorCode,
  }
  return Object.entries(words)
    .filter(([, word]) => word !== undefined)
    .map(([name, word]) => `${name}=${visible(String(word))}`)
    .join(' ')
}

/** Names of models may have anything in them; a field may not, and blanks part the words. */
function visible(word: string): string {
  return word.replaceAll(/[^!-~]/g, '_')
}
