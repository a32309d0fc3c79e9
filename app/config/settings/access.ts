import { optional, type Parsed } from '../kinds/kind.ts'
import { setting } from '../kinds/setting.ts'
import { onOff } from '../kinds/switch-kinds.ts'
import { list, text } from '../kinds/text-kinds.ts'

// RFC 9110, section 5.5: what a header can carry, without spaces, so that a key is one word of `Bearer ...`.
function parseKey(key: string): Parsed<string> {
  return /^[\x21-\x7e]+$/.test(key) ? { value: key } : { hint: 'keys are printable ASCII without spaces' }
}

function parseHostName(written: string): Parsed<string> {
  if (/:\d+$|:\/\//.test(written)) return { hint: 'leave out scheme and port' }
  return /^[a-z0-9_.-]+$/i.test(written) ? { value: written.toLowerCase() } : { hint: undefined }
}

function parseJwksUrl(written: string): Parsed<string> {
  if (!/^https?:\/\//i.test(written) || !URL.canParse(written)) return { hint: undefined }
  const { href, username, password } = new URL(written)
  return username + password === '' ? { value: href } : { hint: 'no user and no password in it' }
}

const visible = 'everyone who can list processes sees it: prefer the variable or the file'

export const access = {
  apiKey: setting({
    kind: optional(text('a key', parseKey), 'none'),
    default: undefined,
    help: 'key for workers when the client sends none',
    danger: `as a flag, ${visible}. It is sent with probes too`,
    secret: true,
    common: true,
  }),
  routerApiKeys: setting({
    kind: list('keys', parseKey),
    default: [],
    help: 'keys, one of which clients must present',
    danger: `as a flag, ${visible}`,
    secret: true,
    common: true,
  }),
  keysFile: setting({
    kind: optional(text('the path of a file', undefined, '<file>'), 'none'),
    default: undefined,
    help: 'a YAML or JSON list of who may ask for what: hashes of keys, models, routes, limits; changes are taken over while running',
    danger: 'only those who are in it, and those with one of --router-api-keys, are let in',
    restart: true,
  }),
  passClientKeys: setting({
    kind: onOff(),
    default: false,
    help: 'workers get the key or token that a client has shown the router',
    danger: 'whoever reads the logs of a worker may read it there',
  }),
  jwtJwksUrl: setting({
    kind: optional(text('an http or https URL', parseJwksUrl, '<url>'), 'none'),
    default: undefined,
    help: 'take JSON Web Tokens, too: where the public keys of their issuer are (JWKS)',
    danger: 'over http, whoever is in between can issue tokens',
  }),
  jwtIssuer: setting({
    kind: optional(text('the issuer as tokens name it'), 'none'),
    default: undefined,
    help: 'who must have issued a token (iss)',
  }),
  jwtAudience: setting({
    kind: list('audiences as tokens name them', (value) => ({ value })),
    default: [],
    help: 'one of which a token must be meant for (aud)',
  }),
  jwtTenantClaim: setting({
    kind: text('the name of a claim'),
    default: 'sub',
    help: 'claim of a token that names an entry of keys',
  }),
  adminApiKey: setting({
    kind: optional(text('a key', parseKey), 'none'),
    default: undefined,
    help: 'key for the admin routes of the API listener',
    danger: `as a flag, ${visible}`,
    secret: true,
    common: true,
  }),
  adminHosts: setting({
    kind: list('host names such as router.example.com', parseHostName),
    default: [],
    help: 'names by which the admin routes may be called, besides IP addresses and localhost',
    danger: 'a page whose author controls such a name could act for the operator who looks at it',
  }),
  relayWorkerPages: setting({
    kind: onOff(),
    default: false,
    help: 'relay /metrics, /docs, /redoc and /openapi.json too, each time to another worker, instead of 404',
    danger: 'what workers say there is open to every client',
  }),
}
