import { selectionPolicies } from '../../../policies/selection/index.ts'
import type { Parsed } from '../kinds/kind.ts'
import { decimal, seconds, wholeNumber } from '../kinds/number-kinds.ts'
import { setting } from '../kinds/setting.ts'
import { list, text } from '../kinds/text-kinds.ts'

const names = Object.keys(selectionPolicies).join(', ')

/** A name, the sign and another name. Names of models hold slashes, dots and colons. */
function parsePair(written: string): Parsed<string> {
  return /^[^=]+=[^=]+$/.test(written) ? { value: written } : { hint: undefined }
}

function parseAlias(written: string): Parsed<string> {
  const weight = /@([^@]*)$/.exec(written)?.[1]
  const right = weight === undefined || (/^\d+(\.\d+)?$/.test(weight) && Number(weight) > 0)
  return right ? parsePair(written) : { hint: 'behind @ stands a number above 0' }
}

export const selection = {
  policy: setting({
    kind: text(`${names}, or one of your own`, (name) =>
      /^[a-z][\w-]*$/i.test(name) ? { value: name } : { hint: undefined },
    ),
    default: 'round_robin',
    help: 'how a worker is chosen',
    common: true,
  }),
  modelPolicy: setting({
    kind: list('pairs such as llama=cache_aware', parsePair),
    default: [],
    help: 'another policy for these models',
  }),
  modelAlias: setting({
    kind: list('pairs such as gpt=llama, or gpt=llama@9 gpt=qwen@1 for shares', parseAlias),
    default: [],
    help: 'further names for models: what a worker gets is the name behind the sign. Several targets share the requests',
  }),
  modelFallback: setting({
    kind: list('pairs such as llama=qwen', parsePair),
    default: [],
    help: 'models or aliases that answer in place of another, in this order: when no worker of it can take the request, when its attempts are used up, or when the prompt does not fit',
  }),
  sessionExpirationSecs: setting({
    kind: seconds(),
    default: 1800,
    unit: 's',
    help: 'time after its last request for which sticky_least_loaded keeps a session on its worker',
    aliases: ['sll-session-expiration-in-s'],
  }),
  cacheThreshold: setting({
    kind: decimal({ min: 0, max: 1 }),
    default: 0.3,
    help: 'share of the prompt that a worker must be believed to hold for a hit in the metrics',
  }),
  balanceAbsThreshold: setting({
    kind: wholeNumber({ min: 0 }),
    default: 64,
    unit: 'requests',
    help: 'lead over the least loaded worker above which cache_aware sends no prompt to its home',
  }),
  balanceRelThreshold: setting({
    kind: decimal({ min: 1, max: 1000 }),
    default: 1.5,
    help: 'the same as a multiple of the least load; both must be exceeded',
  }),
  evictionInterval: setting({
    kind: seconds(),
    default: 120,
    unit: 's',
    help: 'pause between evictions from the prefix index; in between it may be a tenth too large',
    aliases: ['eviction-interval-secs'],
  }),
  maxTreeSize: setting({
    kind: wholeNumber({ min: 1 }),
    default: 2 ** 26,
    unit: 'characters',
    help: 'bound of the prefix index of one worker; it is never larger than the worker says its cache is',
  }),
}
