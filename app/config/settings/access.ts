import { optional, type Parsed } from '../kind.ts'
import { setting } from '../setting.ts'
import { list, text } from '../text-kinds.ts'

// RFC 9110, section 5.5: what a header can carry, without spaces, so that a key is one word of `Bearer ...`.
function parseKey(key: string): Parsed<string> {
  return /^[\x21-\x7e]+$/.test(key) ? { value: key } : { hint: 'keys are printable ASCII without spaces' }
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
    help: 'key for the admin routes',
    danger: `as a flag, ${visible}`,
    secret: true,
    common: true,
  }),
}
