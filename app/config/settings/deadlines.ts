import { optional } from '../kinds/kind.ts'
import { bytes, seconds, wholeNumber } from '../kinds/number-kinds.ts'
import { setting } from '../kinds/setting.ts'

export const deadlines = {
  connectTimeoutMs: setting({
    kind: wholeNumber({ min: 1, max: 1_000_000_000, of: 'milliseconds' }),
    default: 2000,
    unit: 'ms',
    help: 'time to connect to a worker, per attempt',
    restart: true,
  }),
  firstTokenTimeoutSecs: setting({
    kind: seconds(),
    default: 300,
    unit: 's',
    help: 'time to the first content of a stream',
    danger: 'shorter than a long prompt waits and prefills: good work is thrown away',
    common: true,
  }),
  streamIdleTimeoutSecs: setting({
    kind: seconds(),
    default: 120,
    unit: 's',
    help: 'longest silence of a stream after that',
  }),
  holdCommentAfterSecs: setting({
    kind: seconds({ min: 0 }),
    default: 25,
    unit: 's',
    help: 'time without a first token after which a client gets comments, each 15 s, its answer still held; 0: never',
    danger: 'above the idle limit of a load balancer in front: it cuts long prefills',
  }),
  sseKeepaliveSecs: setting({
    kind: optional(seconds({ min: 0.1 }), 'off'),
    default: undefined,
    unit: 's',
    help: 'silence within a stream after which a comment is put in',
    danger: 'some older clients break on a comment',
  }),
  requestTimeoutSecs: setting({
    kind: optional(seconds(), 'off'),
    default: undefined,
    unit: 's',
    help: 'total for one request, streams included',
    danger: 'also ends long generations that make progress',
  }),
  maxEventBytes: setting({
    kind: bytes({ min: 1024, max: 2 ** 30 }),
    default: 2 ** 20,
    unit: 'bytes',
    help: 'largest event of a stream that is looked at; a larger one is passed on as it comes',
  }),
  maxHoldBytes: setting({
    kind: bytes({ min: 1024, max: 2 ** 30 }),
    default: 2 ** 20,
    unit: 'bytes',
    help: 'how much of a stream is held back while it has no content yet',
  }),
}
