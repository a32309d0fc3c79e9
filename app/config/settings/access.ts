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
