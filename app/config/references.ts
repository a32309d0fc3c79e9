import { readFile, stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { Environment } from './environment.ts'
import { faultName, quoted, type RawValue, type Reading } from './problem.ts'
import { type SettingKey, settingOf } from './settings.ts'

export interface ReferenceSources {
  readonly env: Environment
  /** What a relative path in a reference is relative to. */
  readonly folder: string
}

/** A text with what its references stand for, or what is wrong with one of them. */
interface Expanded {
  readonly value: unknown
  /** As they are written. */
  readonly references: readonly string[]
  readonly problem?: string
  readonly hint?: string
}

/** Bytes of a file that a reference names. */
const longestFile = 2 ** 20

/** `$${` stands for `${` itself. */
const pattern = /\$\$\{|\$\{([^}]*)(\}?)/g

/**
 * Puts in what the texts of a file refer to: `${NAME}` is a variable of the environment, `${NAME:-text}` one that may be
 * missing or empty, `${file:/path}` what stands in a file, without the line break at its end. A reference that leads
 * nowhere is a fault that names it. What one leads to may be a secret, and is shown in no message.
 */
export async function withReferences(reading: Reading, sources: ReferenceSources): Promise<Reading> {
  const values: RawValue[] = []
  const faults = [...reading.faults]
  for (const raw of reading.values) {
    const items: readonly unknown[] = Array.isArray(raw.value) ? raw.value : [raw.value]
    const expanded = await Promise.all(items.map((item) => expand(item, sources)))
    const name = faultName(settingOf(raw.key as SettingKey), raw.origin)
    let isWrong = false
    for (const [index, { problem, hint }] of expanded.entries()) {
      if (problem === undefined) continue
      isWrong = true
      faults.push({ name, origin: (raw.itemOrigins?.[index] ?? raw.origin).text, problem, hint })
    }
    if (isWrong) continue
    const meant = expanded.map(({ value }) => value)
    const references = expanded.flatMap((each) => each.references)
    const value = Array.isArray(raw.value) ? meant : meant[0]
    if (references.length === 0) values.push({ ...raw, value })
    else values.push({ ...raw, value, origin: namedIn(raw, references), isReference: true })
  }
  return { values, faults }
}

function namedIn({ origin }: RawValue, references: readonly string[]): RawValue['origin'] {
  return { ...origin, text: `${origin.text}, from ${[...new Set(references)].join(', ')}` }
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
    const problem = `the reference ${quoted(written)}`
    if (closed === '')
      return { value, references, problem: `${problem} has no end`, hint: `$\${ stands for \${` }
    const found = await lookUp(inside, sources)
    if ('wrong' in found) return { value, references, problem: `${problem} ${found.wrong}` }
    references.push(written)
    text += found.text
  }
  return { value: text + value.slice(end), references }
}

type Found = { readonly text: string } | { readonly wrong: string }

async function lookUp(inside: string, { env, folder }: ReferenceSources): Promise<Found> {
  if (inside.startsWith('file:')) return textOfFile(resolve(folder, inside.slice('file:'.length)))
  const [, name, otherwise] = /^([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?$/s.exec(inside) ?? []
  if (name === undefined) return { wrong: 'is none of ${NAME}, ${NAME:-text} and ${file:/path}' }
  const text = env[name]
  if (text !== undefined && text !== '') return { text }
  if (otherwise !== undefined) return { text: otherwise }
  return { wrong: text === '' ? 'is an empty variable' : 'is a variable that is not set' }
}

async function textOfFile(path: string): Promise<Found> {
  try {
    const { size } = await stat(path)
    if (size > longestFile) return { wrong: `is a file of more than ${longestFile} bytes` }
    return { text: (await readFile(path, 'utf8')).replace(/\r?\n$/, '') }
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error)
    return { wrong: `cannot be read: ${code}` }
  }
}
