import * as v from 'valibot'
import { type Kind, optional } from './kind.ts'
import { wholeNumber } from './number-kinds.ts'

const yes = ['true', 'on', 'yes', '1']
const no = ['false', 'off', 'no', '0']

export const switchWords: readonly string[] = [...yes, ...no]

export const isSwitchWord = (word: string) => switchWords.includes(word.trim().toLowerCase())

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

/** On, off, or not said, for which `word` stands: `--enable-trace`, `--no-enable-trace`, `--enable-trace auto`. */
export function onOffOr(word: string): Kind<boolean | undefined, boolean | string | null | undefined> {
  return { ...optional(onOff(), word), argument: `[${word}]`, takes: 'perhaps a value' }
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
