import * as v from 'valibot'

/**
 * A kind of value: how it is read from text, from YAML and from TypeScript, what is allowed, and how it is written back.
 *
 * Flags and variables are text, files carry text or numbers, TypeScript carries the value itself: one schema takes all
 * three, and takes its own output, so that a finished Config is valid input again.
 */
export interface Kind<T, I> {
  readonly schema: v.GenericSchema<I, T>
  /** Completes "allowed: ...". */
  readonly allowed: string
  /** The same for one item of a list. */
  readonly item?: string
  /** What stands for the value in help: `<n>`. */
  readonly argument: string
  /** What follows the flag: one value, several, nothing, or perhaps one. */
  readonly takes: 'value' | 'list' | 'nothing' | 'perhaps a value'
  /** The full list, when it is closed: the source of "did you mean". */
  readonly values?: readonly string[]
  /** The value as it can be given again, on any of the ways in. */
  show(value: T): string
}

/** What a hand-written check says: the value, or why not (a whole clause, shown after "allowed: ..."). */
export type Parsed<T> = { readonly value: T } | { readonly hint: string | undefined }

/** The step of a schema whose message is ours and may be shown, unlike valibot's own. */
export const ownIssue = 'raw_transform'

export function checked<T>(parse: (text: string) => Parsed<T>) {
  return v.rawTransform<string, T>(({ dataset, addIssue, NEVER }) => {
    const result = parse(dataset.value)
    if ('value' in result) return result.value
    addIssue({ message: result.hint ?? '' })
    return NEVER
  })
}

const words = (pattern: RegExp) => v.pipe(v.string(), v.trim(), v.regex(pattern))

interface Range {
  readonly min: number
  readonly max?: number
  /** What is counted, for the message: `seconds`. */
  readonly of?: string
}

function range({ min, max, of }: Range): string {
  const things = of === undefined ? '' : ` of ${of}`
  return max === undefined ? `${things}, ${min} or more` : `${things} from ${min} to ${max}`
}

export function wholeNumber(limits: Range): Kind<number, number | string> {
  const { min, max = Number.MAX_SAFE_INTEGER } = limits
  const text = v.pipe(words(/^\d{1,16}$/), v.transform(Number))
  return {
    schema: v.pipe(v.union([v.number(), text]), v.safeInteger(), v.minValue(min), v.maxValue(max)),
    allowed: `a whole number${range(limits)}`,
    argument: '<n>',
    takes: 'value',
    show: String,
  }
}

export function decimal(limits: Range): Kind<number, number | string> {
  const { min, max = Number.MAX_VALUE } = limits
  const text = v.pipe(words(/^\d{1,15}(\.\d{1,15})?$/), v.transform(Number))
  return {
    schema: v.pipe(v.union([v.number(), text]), v.finite(), v.minValue(min), v.maxValue(max)),
    allowed: `a number${range(limits)}`,
    argument: '<n>',
    takes: 'value',
    show: (value) => {
      const text = String(value)
      return text.includes('e') ? value.toFixed(15).replace(/0+$/, '') : text
    },
  }
}

/** A duration. A runtime's timers end at 2^31 ms (24.8 days): anything near would fire at once. */
export function seconds({ min = 0.001 }: Partial<Range> = {}): Kind<number, number | string> {
  return decimal({ min, max: 1_000_000, of: 'seconds' })
}

const units: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  ki: 2 ** 10,
  mi: 2 ** 20,
  gi: 2 ** 30,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
}

/** A size in bytes; `64MiB` and `10MB` are understood. */
export function bytes({ min, max }: { min: number; max: number }): Kind<number, number | string> {
  const text = v.pipe(
    words(/^\d{1,16}(\.\d{1,6})?\s*([kmg]i?b|[kmg]i|b)?$/i),
    v.transform((value) => {
      const unit = value.replace(/^[\d.\s]+/, '').toLowerCase()
      return Number.parseFloat(value) * (units[unit] ?? Number.NaN)
    }),
  )
  return {
    schema: v.pipe(v.union([v.number(), text]), v.safeInteger(), v.minValue(min), v.maxValue(max)),
    allowed: `a size from ${showBytes(min)} to ${showBytes(max)}, in bytes or as 64MiB, 10MB`,
    argument: '<size>',
    takes: 'value',
    show: showBytes,
  }
}

function showBytes(value: number): string {
  for (const unit of ['GiB', 'MiB', 'KiB']) {
    const size = units[unit.toLowerCase()] ?? 1
    if (value > 0 && value % size === 0) return `${value / size}${unit}`
  }
  return String(value)
}

/** Free text, or with `parse` a text that must satisfy it. */
export function text(
  allowed: string,
  parse: (text: string) => Parsed<string> = (value) => ({ value }),
  argument = '<text>',
): Kind<string, string> {
  return {
    schema: v.pipe(v.string(), v.trim(), v.nonEmpty(), checked(parse)),
    allowed,
    argument,
    takes: 'value',
    show: (value) => value,
  }
}

export function oneOf<const V extends string>(
  values: readonly V[],
  synonyms: Readonly<Record<string, V>> = {},
): Kind<V, string> {
  return {
    schema: v.pipe(
      v.string(),
      v.trim(),
      v.toLowerCase(),
      v.transform((value) => (Object.hasOwn(synonyms, value) ? synonyms[value] : value)),
      v.picklist(values),
    ),
    allowed: values.join(', '),
    argument: '<word>',
    takes: 'value',
    values,
    show: (value) => value,
  }
}

const yes = ['true', 'on', 'yes', '1']
const no = ['false', 'off', 'no', '0']

export const isSwitchWord = (word: string) => [...yes, ...no].includes(word.trim().toLowerCase())

const switchWord = v.pipe(
  v.string(),
  v.trim(),
  v.toLowerCase(),
  v.picklist([...yes, ...no]),
  v.transform((word) => yes.includes(word)),
)

export function onOff(): Kind<boolean, boolean | string> {
  return {
    schema: v.union([v.boolean(), switchWord]),
    allowed: 'true or false',
    argument: '',
    takes: 'nothing',
    show: String,
  }
}

/** Off (0), on (`usual`), or a number: `--demo`, `--demo 3`, `--no-demo`. */
export function howMany(usual: number, max: number): Kind<number, number | string | boolean> {
  const schema = v.union([
    v.pipe(
      v.boolean(),
      v.transform((on) => (on ? usual : 0)),
    ),
    wholeNumber({ min: 0, max }).schema,
    v.pipe(
      switchWord,
      v.transform((on) => (on ? usual : 0)),
    ),
  ])
  return {
    schema,
    allowed: `nothing (${usual}), off, or a whole number from 1 to ${max}`,
    argument: '[n]',
    takes: 'perhaps a value',
    show: (value) => (value === 0 ? 'off' : String(value)),
  }
}

const unset = v.pipe(
  v.unknown(),
  v.transform(() => undefined),
)

/**
 * A value that may be absent, which is then also the default: in a Config, undefined cannot mean anything else.
 * `word` says so in text, which lets a flag undo what a file sets.
 */
export function optional<T, I>(kind: Kind<T, I>, word: string): Kind<T | undefined, I | null | undefined> {
  const absent = (input: unknown) =>
    input === undefined ||
    input === null ||
    (typeof input === 'string' && input.trim().toLowerCase() === word)
  const schema = v.lazy(
    (input): v.GenericSchema<unknown, T | undefined> =>
      absent(input) ? unset : (kind.schema as v.GenericSchema<unknown, T>),
  )
  return {
    ...kind,
    schema: schema as v.GenericSchema<I | null | undefined, T | undefined>,
    allowed: `${word}, or ${kind.allowed}`,
    show: (value) => (value === undefined ? word : kind.show(value)),
  }
}

const noneWord = 'none'

/** Several texts: `a b c`, `a,b,c` or a list; `none` is the empty list. An empty text is a mistake, not an empty list. */
export function list(
  allowed: string,
  parse: (item: string) => Parsed<string>,
): Kind<readonly string[], readonly string[] | string> {
  const items = v.pipe(v.array(v.pipe(v.string(), v.trim(), v.nonEmpty(), checked(parse))), v.readonly())
  const split = v.pipe(
    v.string(),
    v.transform(splitList),
    v.minLength(1),
    v.transform((parts) => (parts.length === 1 && parts[0] === noneWord ? [] : parts)),
    items,
  )
  return {
    schema: v.lazy(
      (input): v.GenericSchema<string | string[], readonly string[]> =>
        typeof input === 'string' ? split : items,
    ) as v.GenericSchema<readonly string[] | string, readonly string[]>,
    allowed: `${allowed} (a list: a b c, or a,b,c; ${noneWord} for an empty one)`,
    item: allowed,
    argument: '<a b ...>',
    takes: 'list',
    show: (value) => (value.length === 0 ? noneWord : value.join(',')),
  }
}

export function splitList(text: string): string[] {
  return text.split(/[\s,]+/).filter((part) => part !== '')
}
