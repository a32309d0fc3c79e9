import { readFile, stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { Environment } from './environment.ts'
import { type ConfigProblem, faultName, type Origin, quoted, type RawValue, type Reading } from './problem.ts'
import { type SettingKey, settingOf } from './settings.ts'
import { type Tree, withValues } from './tree.ts'

export interface ReferenceSources {
  readonly env: Environment
  /** What a relative path in a reference is relative to. */
  readonly folder: string
}

/** A text with what its references stand for, or what is wrong with one of them. */
interface Expanded {
  readonly value: unknown
  /** As they are written, without what stands for a missing variable: that may be a secret, too. */
  readonly references: readonly string[]
  readonly problem?: string
}

/** Bytes of a file that a reference names. */
const longestFile = 2 ** 20

/** `$${` stands for `${` itself. */
const pattern = /\$\$\{|\$\{([^}]*)(\}?)/g

const forms = '${NAME}, ${NAME:-text} and ${file:/path}; $${ stands for ${'

/**
 * Puts in what the texts of a file refer to: `${NAME}` is a variable of the environment, `${NAME:-text}` one that may be
 * missing or empty, `${file:/path}` what stands in a file, without the line break at its end. A reference that leads
 * nowhere is a fault that names it. What one leads to may be a secret, and is shown in no fault.
 */
export async function withReferences(reading: Reading, sources: ReferenceSources): Promise<Reading> {
  const values: RawValue[] = []
  const faults = [...reading.faults]
  for (const raw of reading.values) {
    if (isKeyTree(raw.key)) {
      values.push({ ...raw, value: await expandTree(raw.value as Tree, sources, faults) })
      continue
    }
    const items: readonly unknown[] = Array.isArray(raw.value) ? raw.value : [raw.value]
    const expanded = await Promise.all(items.map((item) => expand(item, sources)))
    const setting = settingOf(raw.key as SettingKey)
    const isList = setting.kind.takes === 'list'
    const problems = expanded.map((each) => each.problem ?? (isList ? undefined : problemOfLines(each)))
    for (const [index, problem] of problems.entries()) {
      const { text: origin } = raw.itemOrigins?.[index] ?? raw.origin
      if (problem !== undefined) faults.push({ name: faultName(setting, raw.origin), origin, problem })
    }
    if (problems.some((problem) => problem !== undefined)) continue
    const meant = expanded.map(({ value }) => value)
    const value = Array.isArray(raw.value) ? meant : meant[0]
    const references = expanded.flatMap((each) => each.references)
    values.push({ ...raw, value, origin: references.length === 0 ? raw.origin : namedIn(raw, references) })
  }
  return { values, faults }
}

function isKeyTree(key: string): boolean {
  return key === 'keys' || key === 'fileKeys'
}

/** The same within a list of keys, where each text has a place of its own. */
function expandTree(tree: Tree, sources: ReferenceSources, faults: ConfigProblem[]): Promise<Tree> {
  return withValues(tree, 'keys', async (leaf, path) => {
    const expanded = await expand(leaf.value, sources)
    const { value, references } = expanded
    const problem = expanded.problem ?? problemOfLines(expanded)
    if (problem !== undefined) {
      // Of an item of a field, the field.
      const name = path.replace(/(\.[^.[]+)\[\d+\]$/, '$1')
      faults.push({ name, origin: leaf.origin.text, problem })
      return { ...leaf, isFaulty: true }
    }
    return references.length === 0
      ? { ...leaf, value }
      : { ...leaf, value, origin: namedIn(leaf, references) }
  })
}

function namedIn({ origin }: Pick<RawValue, 'origin'>, references: readonly string[]): Origin {
  return { ...origin, isReference: true, text: `${origin.text}, from ${[...new Set(references)].join(', ')}` }
}

/** A file was put in whose path was meant: a private key, say. */
function problemOfLines({ value, references }: Expanded): string | undefined {
  const hasLines = references.length > 0 && typeof value === 'string' && /[\r\n]/.test(value)
  return hasLines ? `the reference ${references[0]} leads to more than one line` : undefined
}

async function expand(value: unknown, sources: ReferenceSources): Promise<Expanded> {
  if (typeof value !== 'string' || !value.includes('${')) return { value, references: [] }
  const references: string[] = []
  let text = ''
  let end = 0
  for (const { 0: written, 1: inside, 2: closed, index } of value.matchAll(pattern)) {
    text += value.slice(end, index)
    end = index + written.length
    if (inside === undefined) {
      text += '${'
      continue
    }
    if (closed === '') return { value, references, problem: `a reference has no end; ${forms}` }
    const found = await lookUp(inside, sources)
    if ('wrong' in found) return { value, references, problem: found.wrong }
    references.push(found.name)
    text += found.text
  }
  return { value: text + value.slice(end), references }
}

type Found = { readonly text: string; readonly name: string } | { readonly wrong: string }

async function lookUp(inside: string, { env, folder }: ReferenceSources): Promise<Found> {
  if (inside.startsWith('file:')) return textOfFile(inside, folder)
  const [, variable, otherwise] = /^([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?$/s.exec(inside) ?? []
  // What is no reference may be a piece of a key: it is not shown.
  if (variable === undefined) return { wrong: `a reference is none of ${forms}` }
  const text = env[variable]
  const name = otherwise === undefined ? `\${${variable}}` : `\${${variable}:-...}`
  if (text !== undefined && text !== '') return { text, name }
  if (otherwise !== undefined) return { text: otherwise, name }
  const state = text === '' ? 'an empty variable' : 'a variable that is not set'
  return { wrong: `the reference ${quoted(name)} is ${state}` }
}

async function textOfFile(inside: string, folder: string): Promise<Found> {
  const name = `\${${inside}}`
  const wrong = (problem: string): Found => ({ wrong: `the reference ${quoted(name)} ${problem}` })
  try {
    const path = resolve(folder, inside.slice('file:'.length))
    const found = await stat(path)
    // To read a pipe may never end.
    if (!found.isFile()) return wrong('is no file')
    if (found.size > longestFile) return wrong(`is a file of more than ${longestFile} bytes`)
    const text = (await readFile(path, 'utf8')).replace(/\r?\n$/, '')
    return text === '' ? wrong('is an empty file') : { text, name }
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error)
    return wrong(`cannot be read: ${code}`)
  }
}
