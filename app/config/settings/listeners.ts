import { isIPv6 } from 'node:net'
import { type ForwardedField, forwardedFields } from '../../../http/forwarded.ts'
import { parseIpRange } from '../kinds/ip-range.ts'
import { optional, type Parsed } from '../kinds/kind.ts'
import { bytes, bytesOr, seconds, wholeNumber, wholeNumberOr } from '../kinds/number-kinds.ts'
import { setting } from '../kinds/setting.ts'
import { list, oneOf, text } from '../kinds/text-kinds.ts'

const anyPort = wholeNumber({ min: 0, max: 65535 })
const address = text('a host name or an IP address, without scheme and port', parseHost, '<host>')

function parseHost(written: string): Parsed<string> {
  const host = written.replace(/^\[(.*)\]$/, '$1')
  if (isIPv6(host)) return { value: host }
  if (/^[a-z]+:\/\//i.test(host)) return { hint: 'leave out the scheme' }
  if (/:\d+$/.test(host)) return { hint: 'give the port with the flag for the port' }
  return /^[a-z0-9_.-]+$/i.test(host) ? { value: host } : { hint: undefined }
}

// Their values would go to the worker, to the client and into the log as a request id.
const notAnId = ['authorization', 'cookie', 'host', 'content-length', 'content-type', 'x-api-key', 'api-key']

function parseHeaderName(written: string): Parsed<string> {
  const name = written.toLowerCase()
  if (notAnId.includes(name)) return { hint: 'this header is not a request id' }
  // RFC 9110, section 5.6.2: token
  return /^[!#$%&'*+.^_`|~a-z0-9-]+$/.test(name) ? { value: name } : { hint: undefined }
}

function parseOrigin(written: string): Parsed<string> {
  if (written === '*') return { value: written }
  if (!/^https?:\/\//i.test(written) || !URL.canParse(written)) return { hint: undefined }
  const { origin } = new URL(written)
  return written.toLowerCase().replace(/\/$/, '') === origin
    ? { value: origin }
    : { hint: `an origin ends after the port: did you mean "${origin}"?` }
}

const configFiles = 'the path of a .yaml, .yml, .json, .ts, .mts, .js or .mjs file'

export const listeners = {
  host: setting({
    kind: address,
    default: '127.0.0.1',
    help: 'where the API listens',
    danger: '0.0.0.0 lets everyone in who can reach the machine: set --router-api-keys',
    common: true,
    restart: true,
  }),
  port: setting({
    kind: anyPort,
    default: 8080,
    help: 'its port; 0 picks a free one and prints it',
    common: true,
    restart: true,
  }),
  prometheusHost: setting({
    kind: address,
    default: '127.0.0.1',
    help: 'where metrics, probes and admin listen',
    danger: 'whoever reaches it can add and remove workers unless --admin-api-key is set',
    common: true,
    restart: true,
  }),
  prometheusPort: setting({
    kind: anyPort,
    default: 29000,
    help: 'its port; 0 picks a free one',
    common: true,
    restart: true,
  }),
  maxPayloadSize: setting({
    kind: bytes({ min: 1, max: 4 * 2 ** 30 }),
    default: 64 * 2 ** 20,
    unit: 'bytes',
    help: 'largest request body; exactly the limit is accepted, more gets 413',
    danger: 'bodies are held in memory until the answer has ended',
  }),
  maxBufferedBytes: setting({
    kind: bytesOr('auto', { min: 1, max: 2 ** 40 }),
    default: 'auto' as number | 'auto',
    unit: 'bytes',
    help: 'what the bodies of all requests may take up together; more gets 503 with Retry-After; auto: a quarter of the memory of the container or machine',
    danger: 'near the memory limit of the container: it is killed when many large prompts come at once',
  }),
  uploadIdleTimeoutSecs: setting({
    kind: seconds({ min: 0.1 }),
    default: 60,
    unit: 's',
    help: 'an upload of which no byte comes for so long gets 408; as long as bytes come it may take any time',
  }),
  requestIdHeaders: setting({
    kind: list('names of HTTP headers', parseHeaderName),
    default: ['x-request-id', 'x-correlation-id', 'x-trace-id', 'request-id'],
    help: 'the first one present is the request id; with none present one is made',
  }),
  corsAllowedOrigins: setting({
    kind: list('origins such as https://chat.example.com, or *', parseOrigin),
    default: [],
    help: 'browser origins that may call the API',
  }),
  trustedProxies: setting({
    kind: list('addresses and ranges of them such as 10.0.0.0/8', parseIpRange),
    default: [],
    help: 'proxies in front of the router whose word on the address of a client is believed',
    danger:
      'who connects from there can pass for any address: name the proxies, not the network of the clients',
  }),
  trustedProxiesHeader: setting({
    kind: oneOf(forwardedFields),
    default: 'x-forwarded-for' as ForwardedField,
    help: 'the header in which they say it',
    danger: 'one that they do not write themselves is the word of the client',
  }),
  shutdownSettleSecs: setting({
    kind: seconds({ min: 0 }),
    default: 5,
    unit: 's',
    help: 'how long new requests are still accepted after SIGTERM, not ready already',
    danger: 'shorter than the load balancer needs to notice: its last requests are refused',
  }),
  shutdownGraceSecs: setting({
    kind: seconds({ min: 0 }),
    default: 180,
    unit: 's',
    help: 'how long running streams may finish after SIGTERM, settle time included',
    danger: 'terminationGracePeriodSeconds of the pod must be longer, or it is killed first',
    aliases: ['shutdown-grace-period-secs'],
  }),
  processes: setting({
    kind: wholeNumberOr('auto', { min: 1, max: 64 }),
    default: 1 as number | 'auto',
    help: 'processes that share the port and behave as one router; auto: one per CPU of the container',
    danger:
      'each probes the workers and has breakers of its own, and caps and rates cost a message per request',
    restart: true,
  }),
  config: setting({
    kind: optional(text(configFiles, undefined, '<file>'), 'none'),
    default: undefined,
    help: 'YAML, JSON or TypeScript file with settings',
    common: true,
    restart: true,
  }),
}
