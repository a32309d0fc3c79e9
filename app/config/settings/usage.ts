import { optional } from '../kinds/kind.ts'
import { wholeNumber } from '../kinds/number-kinds.ts'
import { setting } from '../kinds/setting.ts'
import { text } from '../kinds/text-kinds.ts'

export const usage = {
  usageDir: setting({
    kind: optional(text('the path of a directory', undefined, '<dir>'), 'none'),
    default: undefined,
    help: 'where usage by tenant and model is kept through restarts; none: it ends with the process',
    danger: 'on a local disk: SQLite does not work on a network share',
    restart: true,
  }),
  usageRetentionDays: setting({
    kind: wholeNumber({ min: 1, max: 3660 }),
    default: 32,
    unit: 'days',
    help: 'how long the hours of usage are kept',
  }),
}
