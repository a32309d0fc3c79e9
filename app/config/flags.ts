import { parseArgs } from 'node:util'
import { kebabCase } from './kinds/setting.ts'
import { isSwitchWord } from './kinds/switch-kinds.ts'
import { type ConfigProblem, got, quoted, type RawValue, type Reading } from './problem.ts'
import { type NamedSetting, settingNamed, settings } from './settings.ts'
import { unknownName } from './unknown-name.ts'

/** A flag as it was written, with every word up to the next flag. */
interface Occurrence {
  readonly written: string
  readonly words: string[]
  /** The first word was given as `--flag=word`. */
  readonly inline: boolean
}

type Interpretation =
  | { readonly entry: NamedSetting; readonly value: string | boolean | undefined; readonly extra: string[] }
  | { readonly fault: ConfigProblem }

const onCommandLine = 'command line'
const negatable = settings.filter(({ kind }) => kind.takes === 'nothing' || kind.takes === 'perhaps a value')

/** Reads the flags of a command line (no verb in it). Finds every fault, not only the first. */
export function readFlags(argv: readonly string[]): Reading {
  const { occurrences, stray } = split(argv)
  const faults = stray.map((word) => unexpected(quoted(word)))
  const values = new Map<string, RawValue>()
  let afterSecret = false
  for (const occurrence of occurrences) {
    const result = interpret(occurrence)
    if ('fault' in result) {
      // `--api-key -x...`: a key that looks like a flag. It must not be printed.
      const hide = afterSecret && !occurrence.written.startsWith('--')
      faults.push(hide ? unexpected('a word that is not shown') : result.fault)
      continue
    }
    const { entry, value, extra } = result
    const hidden = entry.secret === true
    afterSecret = hidden
    const origin = { source: 'flag', text: `flag ${occurrence.written}` } as const
    faults.push(...extra.map((word) => unexpected(hidden ? 'a word that is not shown' : quoted(word))))
    const fault = add(values, { key: entry.key, value, origin }, entry)
    if (fault) faults.push(fault)
  }
  return { values: [...values.values()], faults }
}

function unexpected(word: string): ConfigProblem {
  return { name: 'argument', origin: onCommandLine, problem: `got ${word}, which belongs to no flag` }
}

/**
 * Splits with the tokens of parseArgs, told of no option at all: then every `--name` is an option, every other word is
 * a word, and what belongs to what is decided here, by the setting. parseArgs itself would let `--port --host x` give
 * `--host` to the port.
 */
function split(argv: readonly string[]): { occurrences: Occurrence[]; stray: string[] } {
  const { tokens } = parseArgs({ args: [...argv], strict: false, allowPositionals: true, tokens: true })
  const occurrences: Occurrence[] = []
  const stray: string[] = []
  let current: Occurrence | undefined
  let previous = -1
  for (const token of tokens) {
    const word = argv[token.index] ?? ''
    if (token.kind === 'option-terminator') current = undefined
    else if (token.kind === 'positional' || /^-\.?\d/.test(word)) {
      // A negative number comes as one token for each digit, all with the same index.
      if (token.index !== previous) (current?.words ?? stray).push(word)
    } else if (token.index !== previous) {
      const long = token.rawName.startsWith('--')
      const inline = token.value !== undefined
      current = { written: long ? token.rawName : word, words: inline ? [token.value] : [], inline }
      occurrences.push(current)
    }
    previous = token.index
  }
  return { occurrences, stray }
}

function interpret({ written, words, inline }: Occurrence): Interpretation {
  const origin = `flag ${written}`
  if (!written.startsWith('--')) {
    const hint = 'flags begin with two dashes'
    return { fault: { name: written, origin: onCommandLine, problem: 'unknown flag', hint } }
  }
  const name = written.slice(2).replaceAll('_', '-')
  const entry = settingNamed(name)
  if (entry !== undefined) return { entry, ...valueFor(entry, words, inline) }
  const negated = name.startsWith('no-') ? settingNamed(name.slice(3)) : undefined
  if (negated !== undefined && negatable.includes(negated))
    return { entry: negated, value: false, extra: words }
  if (negated !== undefined)
    return { fault: { name: written, origin, problem: `unknown flag; --${negated.flag} has no opposite` } }
  const more = negatable.map(({ flag }) => `no-${flag}`)
  const fault = unknownName('flag', kebabCase(name), origin, (flag) => `--${flag}`, more)
  return { fault: { ...fault, name: written } }
}

function valueFor(
  entry: NamedSetting,
  words: string[],
  inline: boolean,
): { value: string | boolean | undefined; extra: string[] } {
  const [first, ...rest] = words
  switch (entry.kind.takes) {
    case 'list':
      return { value: first === undefined ? undefined : words.join(','), extra: [] }
    case 'value':
      return { value: first, extra: rest }
    case 'perhaps a value':
      return { value: first ?? true, extra: rest }
    case 'nothing':
      if (first !== undefined && (inline || first === '' || isSwitchWord(first)))
        return { value: first, extra: rest }
      return { value: true, extra: words }
  }
}

/** Lists grow with each occurrence; anything else may be said twice only if it says the same. */
function add(values: Map<string, RawValue>, given: RawValue, entry: NamedSetting): ConfigProblem | undefined {
  const name = `--${entry.flag}`
  const origin = given.origin.text
  if (given.value === undefined) return { name, origin, problem: got(undefined), allowed: entry.kind.allowed }
  const before = values.get(given.key)
  if (before === undefined) values.set(given.key, given)
  else if (entry.kind.takes === 'list')
    values.set(given.key, { ...before, value: `${before.value},${given.value}` })
  else if (before.value !== given.value)
    return {
      name,
      origin,
      problem: 'given twice with different values',
      hint: entry.secret ? undefined : `${shown(before.value)} and ${shown(given.value)}`,
    }
  return undefined
}

function shown(value: unknown): string {
  return typeof value === 'string' ? quoted(value) : String(value)
}
