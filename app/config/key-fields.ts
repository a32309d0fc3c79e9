import { type PriorityClass, priorityClasses } from '../../http/tenant.ts'
import { hashPrefix } from '../../middleware/key-ring.ts'
import type { Kind, Parsed } from './kinds/kind.ts'
import { decimal, wholeNumber } from './kinds/number-kinds.ts'
import { list, oneOf, text } from './kinds/text-kinds.ts'

/** A field of an entry of `keys`: what it may be, and what it does. */
export interface KeyField<T = unknown> {
  readonly kind: Kind<T, unknown>
  readonly help: string
  /** Never printed. */
  readonly secret?: true
}

/** Stands in metrics for tenants that the configuration does not name. */
const takenName = 'other'

function parseName(name: string): Parsed<string> {
  if (name === takenName)
    return { hint: `${takenName} stands for tenants that the configuration does not name` }
  return /^[A-Za-z0-9][\w.@:/|+=-]{0,127}$/.test(name) ? { value: name } : { hint: undefined }
}

function parseHash(written: string): Parsed<string> {
  const hash = written.toLowerCase()
  if (hash.startsWith(hashPrefix) && /^[0-9a-f]{64}$/.test(hash.slice(hashPrefix.length)))
    return { value: hash }
  return { hint: 'it is made from a key by `vllm-router hash-key`' }
}

function parseModel(name: string): Parsed<string> {
  return name.includes('*')
    ? { hint: 'whole names only; leave the field out for all models' }
    : { value: name }
}

function parseRoute(path: string): Parsed<string> {
  if (/^\/[\x21-\x7e]*$/.test(path) && !/[*?#%\\]|\/\.\.?(?:\/|$)/.test(path.replace(/\*$/, '')))
    return { value: path.length > 1 ? path.replace(/\/$/, '') : path }
  return {
    hint: path.startsWith('/') ? 'a * stands at the end only; no query, no escapes' : 'it begins with /',
  }
}

/** Of a certificate, in the words of `certificateNames`. */
function parseCertificateName(written: string): Parsed<string> {
  const [, kind, name = ''] = /^(cn|dns|uri):(.*)$/i.exec(written) ?? []
  switch (kind?.toLowerCase()) {
    case 'cn':
      return isVisible(name)
        ? { value: `cn:${name}` }
        : { hint: 'the common name of the subject stands behind cn:' }
    case 'dns':
      if (/^[\w-]+(?:\.[\w-]+)*$/.test(name)) return { value: `dns:${name.toLowerCase()}` }
      return { hint: name.includes('*') ? 'whole names only' : 'a host name stands behind dns:' }
    case 'uri':
      if (/^[a-z][a-z0-9+.-]*:[\x21-\x7e]+$/i.test(name)) return { value: `uri:${name}` }
      return { hint: 'an address such as spiffe://cluster/team-a stands behind uri:' }
    default:
      return { hint: 'which name of the certificate is meant stands in front: cn:, dns: or uri:' }
  }
}

function isVisible(name: string): boolean {
  return name.length <= 256 && /^\S(?:.*\S)?$/u.test(name) && !/\p{C}/u.test(name)
}

/** To the end of the day, where none is told: whoever writes a last day means that day, too. */
const dayMs = 86_400_000

/** RFC 3339; of a date alone, the end of that day in UTC. */
function parseExpiry(written: string): Parsed<string> {
  const parts =
    /^(\d{4})-(\d\d)-(\d\d)(?:[Tt ]((?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d{1,9})?)?)(.*))?$/.exec(
      written,
    )
  if (parts === null) return { hint: undefined }
  const [, year = '', month = '', day = '', time, zone = ''] = parts
  const midnight = new Date(`${year}-${month}-${day}T00:00:00Z`)
  if (Number.isNaN(midnight.getTime()) || midnight.getUTCDate() !== Number(day))
    return { hint: 'there is no such day' }
  if (time === undefined) return { value: new Date(midnight.getTime() + dayMs).toISOString() }
  if (zone === '') return { hint: 'the time zone is missing: Z, or +02:00' }
  if (!/^(?:[Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)$/.test(zone))
    return { hint: 'a time zone is Z, or like +02:00' }
  return { value: new Date(`${year}-${month}-${day}T${time}${zone.toUpperCase()}`).toISOString() }
}

const perMinute = wholeNumber({ min: 1, max: 1e12 })

/** Those of `limits`. */
export const limitFields = {
  requestsPerMinute: { kind: perMinute, help: 'requests a minute' },
  promptTokensPerMinute: { kind: perMinute, help: 'tokens of prompts a minute' },
  completionTokensPerMinute: { kind: perMinute, help: 'tokens of answers a minute' },
  requestsInFlight: { kind: wholeNumber({ min: 1, max: 1e9 }), help: 'requests at once, to their last byte' },
} as const satisfies Readonly<Record<string, KeyField<number>>>

/** Those of an entry, `limits` apart. */
export const keyFields = {
  name: {
    kind: text('a letter or a digit, then up to 127 letters, digits and . _ - @ : / | + =', parseName),
    help: 'who this is, in log, metrics and traces; each name once',
  },
  hash: {
    kind: list('sha256: and 64 hex digits', parseHash),
    help: 'SHA-256 of the key, or of several while one takes the place of another; none where it has no key',
    secret: true,
  },
  certificate: {
    kind: list(
      'names such as cn:team-a, dns:team-a.example.com or uri:spiffe://cluster/team-a',
      parseCertificateName,
    ),
    help: 'names of client certificates that stand for it; on Node only, with `--tls-client-ca-file`',
  },
  models: {
    kind: list('names of models, or aliases', parseModel),
    help: 'what it may ask for; all where it is left out',
  },
  routes: {
    kind: list('paths such as /v1/chat/completions or /v1/audio/*', parseRoute),
    help: 'what it may call; all where it is left out',
  },
  priority: {
    kind: oneOf<PriorityClass>(priorityClasses),
    help: 'who is served first where requests wait; normal where it is left out',
  },
  weight: {
    kind: decimal({ min: 0.001, max: 1_000_000 }),
    help: 'its share beside others of its priority; 1 where it is left out',
  },
  expires: {
    kind: text(
      'a date such as 2030-12-31, or a time with its zone such as 2030-12-31T18:00:00Z',
      parseExpiry,
    ),
    help: 'from then on it is refused; a date alone is over at its end in UTC',
  },
} as const satisfies Readonly<Record<string, KeyField>>
