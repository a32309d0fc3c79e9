import { JsonWebTokens } from '../../middleware/json-web-token.ts'
import { KeyRing } from '../../middleware/key-ring.ts'
import { keyEntries } from '../config/key-entries.ts'
import { ConfigError } from '../config/problem.ts'
import type { Config } from '../config/settings.ts'
import { certificateFaults } from '../config/tls-faults.ts'
import type { Runtime } from '../runtime/runtime.ts'
import type { Log } from '../telemetry/log.ts'

/** How the router knows who its clients are. */
export interface Identity {
  /** Undefined: there are no tenants. */
  readonly ring: KeyRing | undefined
  /** Undefined: nobody may show a token. */
  readonly tokens: JsonWebTokens | undefined
  /** What `tokens` was made of. */
  readonly tokenSettings: string
}

/**
 * Makes what a configuration asks for. What is unchanged is taken from `before`: a tenant stays the same object, and the
 * keys of an issuer that cannot be reached stay known.
 *
 * @throws ConfigError where certificates are to name tenants, and the runtime does not tell them
 */
export function identityOf(
  config: Config,
  { log, runtime, before }: { readonly log: Log; readonly runtime: Runtime; readonly before?: Identity },
): Identity {
  const faults = certificateFaults(config, runtime.tellsClientCertificates)
  if (faults.length > 0) throw new ConfigError(faults)
  const entries = keyEntries(config)
  const ring = entries && new KeyRing(entries, before?.ring)
  const { jwtJwksUrl: url, jwtIssuer: issuer = '', jwtAudience: audience, jwtTenantClaim: claim } = config
  const tokenSettings = JSON.stringify([url, issuer, audience, claim])
  if (tokenSettings === before?.tokenSettings) return { ring, tokens: before.tokens, tokenSettings }
  if (url === undefined) return { ring, tokens: undefined, tokenSettings }
  const tokens = new JsonWebTokens({
    ...{ url, issuer, audience, claim },
    onReachable(reachable, reason) {
      if (reachable) log.info({ url }, 'keys of the token issuer can be read again')
      else log.warn({ url, reason }, 'keys of the token issuer cannot be read; those that are known are used')
    },
  })
  tokens.warm()
  return { ring, tokens, tokenSettings }
}
