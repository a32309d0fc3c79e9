import { hash } from 'node:crypto'
import { type ClientCertificate, certificateNames } from '../http/client-certificate.ts'
import type { Tenant } from '../http/tenant.ts'

/** A tenant, and what lets it in. */
export interface KeyEntry extends Tenant {
  /** Of each of its keys: `sha256:` and 64 hex digits in lower case. Undefined: it has none. */
  readonly hash?: readonly string[] | undefined
  /** Of client certificates that name it, as `certificateNames` writes them. Undefined: none does. */
  readonly certificate?: readonly string[] | undefined
  /** From then on it is refused: an instant in ISO 8601 with a time zone. Undefined: never. */
  readonly expires?: string | undefined
}

/** Who a key, a certificate or a token belongs to. */
export interface Holder {
  readonly tenant: Tenant
  /** Milliseconds since 1970; infinite: never. */
  readonly expiresAt: number
}

/** In front of the digits. */
export const hashPrefix = 'sha256:'

/** What stands for a key in a configuration. */
export function hashOfKey(key: string): string {
  return hashPrefix + hash('sha256', key, 'hex')
}

/**
 * The tenants by their keys. A key is looked up by its SHA-256 in a map, so that a thousand tenants cost what one costs.
 *
 * Why that tells nothing by its time. What the look-up compares is the digest of what was presented, never the key. Were
 * the time of the comparison to betray how many digits of a stored digest are right, whoever measures it would still need
 * candidates whose digests begin as he likes: n digits cost 16^n hashes. At the very best he has the whole digest in the
 * end, and that is no secret that lets anybody in: the way back to the key is a search through 2^256 random keys. This
 * holds for random keys only: `vllm-router hash-key` refuses short ones. Keys that people make up belong into
 * `--router-api-keys`, whose digests are all compared in constant time.
 */
export class KeyRing {
  readonly #byDigest = new Map<string, Holder>()
  readonly #byCertificate = new Map<string, Holder>()
  readonly #byName = new Map<string, Holder>()

  /** @param before the ring that this one replaces: a tenant that is unchanged stays the same object */
  constructor(entries: readonly KeyEntry[], before?: KeyRing) {
    for (const { hash: hashes = [], certificate = [], expires, ...own } of entries) {
      const known = before?.named(own.name)?.tenant
      const tenant = known !== undefined && isSame(known, own) ? known : own
      const expiresAt = expires === undefined ? Number.POSITIVE_INFINITY : Date.parse(expires)
      const holder = { tenant, expiresAt }
      this.#byName.set(tenant.name, holder)
      for (const each of hashes) this.#byDigest.set(each.slice(hashPrefix.length), holder)
      for (const name of certificate) this.#byCertificate.set(name, holder)
    }
  }

  /** Whose key it is. One hash and one look-up, whatever there is and whatever comes of it. */
  holderOf(key: string): Holder | undefined {
    return this.#byDigest.get(hash('sha256', key, 'hex'))
  }

  /** Some tenant is named by a certificate. */
  get takesCertificates(): boolean {
    return this.#byCertificate.size > 0
  }

  /** Whom the names of a certificate stand for; `several` where they stand for more than one tenant. */
  ofCertificate(certificate: ClientCertificate): Holder | 'several' | undefined {
    let found: Holder | undefined
    for (const name of certificateNames(certificate)) {
      const holder = this.#byCertificate.get(name)
      if (holder === undefined || holder === found) continue
      if (found !== undefined) return 'several'
      found = holder
    }
    return found
  }

  /** The tenant of that name. */
  named(name: string): Holder | undefined {
    return this.#byName.get(name)
  }

  get tenants(): readonly Tenant[] {
    return [...this.#byName.values()].map(({ tenant }) => tenant)
  }

  get names(): string[] {
    return [...this.#byName.keys()]
  }
}

function isSame(a: Tenant, b: Tenant): boolean {
  return JSON.stringify(a) === JSON.stringify(b)
}
