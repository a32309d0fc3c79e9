import { keyEntries } from '../../config/key-entries.ts'
import type { Check, Finding } from './facts.ts'

/** Milliseconds before its end at which a key wants another one. */
const noticeMs = 7 * 86_400_000

export const clientKeys: Check = {
  name: 'client keys',
  right: 'no key of a client has expired, or does so within a week',
  look({ config }) {
    const now = Date.now()
    return (keyEntries(config) ?? []).flatMap(({ name, expires, hash, certificate }): Finding[] => {
      const left = expires === undefined ? Number.POSITIVE_INFINITY : Date.parse(expires) - now
      const remedy = 'give it a later `expires`, or a new key: `vllm-router hash-key --new`'
      if (left <= 0) return [{ about: name, problem: `expired at ${expires}`, remedy }]
      if (left < noticeMs) return [{ about: name, problem: `expires at ${expires}`, remedy }]
      if ((hash ?? certificate) !== undefined || config.jwtJwksUrl !== undefined) return []
      return [
        {
          about: name,
          problem: 'it has neither hash nor certificate, and without --jwt-jwks-url no token can name it',
          remedy: 'make a key for it: `vllm-router hash-key --new`',
        },
      ]
    })
  },
}
