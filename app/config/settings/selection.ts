import { selectionPolicies } from '../../../policies/selection/index.ts'
import { decimal, seconds, wholeNumber } from '../kinds/number-kinds.ts'
import { setting } from '../kinds/setting.ts'
import { text } from '../kinds/text-kinds.ts'

const names = Object.keys(selectionPolicies).join(', ')

export const selection = {
  policy: setting({
    kind: text(`${names}, or one of your own`, (name) =>
      /^[a-z][\w-]*$/i.test(name) ? { value: name } : { hint: undefined },
    ),
    default: 'round_robin',
    help: 'how a worker is chosen',
    common: true,
  }),
  cacheThreshold: setting({
    kind: decimal({ min: 0, max: 1 }),
    default: 0.3,
    help: 'share of the prompt that a worker must hold to be preferred',
  }),
  balanceAbsThreshold: setting({
    kind: wholeNumber({ min: 0 }),
    default: 64,
    unit: 'requests',
    help: 'lead over the least loaded worker above which load decides',
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
    help: 'pause between evictions from the prefix index',
    aliases: ['eviction-interval-secs'],
  }),
  maxTreeSize: setting({
    kind: wholeNumber({ min: 1 }),
    default: 2 ** 26,
    unit: 'characters',
    help: 'bound of the prefix index of one worker',
  }),
}
