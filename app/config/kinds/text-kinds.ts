import * as v from 'valibot'
import { checked, type Kind, type Parsed } from './kind.ts'

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

function splitList(text: string): string[] {
  return text.split(/[\s,]+/).filter((part) => part !== '')
}
