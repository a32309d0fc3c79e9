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
