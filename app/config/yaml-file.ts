import {
  type Alias,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type Pair,
  parseDocument,
} from 'yaml'
import { collectKeys, notKeys, type WrittenKey } from './collect-keys.ts'
import type { ConfigProblem, Origin, Reading } from './problem.ts'

/** Reads a configuration in YAML, or in JSON, which is YAML too. Every fault carries file:line:column. */
export function readYaml(text: string, file: string): Reading {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  const place = (offset: number) => {
    const { line, col } = lines.linePos(offset)
    return `file ${file}:${line}:${col}`
  }
  const broken = [...document.errors, ...document.warnings]
  if (broken.length > 0) {
    const faults = broken.map(({ pos, message }) => ({
      name: '--config',
      origin: place(pos[0]),
      problem: `not valid: ${sentence(message)}`,
    }))
    return { values: [], faults }
  }
  const { contents } = document
  if (contents === null || (isScalar(contents) && contents.value === null)) return { values: [], faults: [] }
  const at = (node: Node) => place(node.range?.[0] ?? 0)
  if (!isMap(contents)) {
    return { values: [], faults: [notKeys('--config', at(contents), plain(contents))] }
  }
  // An alias is judged as what it stands for, at the place where it stands.
  const meant = (node: Node | null) => (isAlias(node) ? (node.resolve(document) ?? null) : node)
  const empty = (node: unknown): node is Alias => isAlias(node) && node.resolve(document) === undefined
  const pairs = contents.items as Pair<Node, Node | null>[]
  const faults: ConfigProblem[] = []
  const right = pairs.filter((pair) => {
    const found = aliasesIn(pair).filter(empty)
    faults.push(...found.map((alias) => emptyAlias(nameOf(pair), alias, at(alias))))
    return found.length === 0
  })
  const reading = collectKeys(
    right.map((pair) => writtenKey(pair, at, meant)),
    false,
  )
  return { ...reading, faults: [...faults, ...reading.faults] }
}

/** Nodes of a key and its value that may be aliases. */
function aliasesIn({ key, value }: Pair<Node, Node | null>): readonly unknown[] {
  return [key, value, ...(isSeq(value) ? value.items : [])]
}

/** Never taken for no value at all: a key that is asked of clients would silently be none. */
function emptyAlias(name: string, { source }: Alias, place: string): ConfigProblem {
  return {
    name,
    origin: `${place} (${name})`,
    problem: `the alias *${source} stands for nothing`,
    hint: `write &${source} before the value that is meant, further up; text that begins with * stands in quotes`,
  }
}

function nameOf({ key }: Pair<Node, Node | null>): string {
  return isScalar(key) ? String(key.value) : 'a key that is no word'
}

function writtenKey(
  pair: Pair<Node, Node | null>,
  at: (node: Node) => string,
  meant: (node: Node | null) => Node | null,
): WrittenKey {
  const { key, value } = pair
  const written = nameOf(pair)
  const origin = (node: Node): Origin => ({ source: 'file', text: `${at(node)} (${written})` })
  const place = origin(value ?? key)
  const content = meant(value)
  if (!isSeq(content)) return { written, value: plain(content), origin: place }
  const items = content.items as Node[]
  const values = items.map((item) => plain(meant(item)))
  return { written, value: values, origin: place, itemOrigins: items.map(origin) }
}

/**
 * A value as the text that stands in the file, so that `api-key: 007` keeps its zeros and `port: 0x50` is judged as it
 * is written: the same text means the same in a flag, a variable and a file.
 */
function plain(node: Node | null): unknown {
  if (node === null) return null
  if (!isScalar(node)) return isSeq(node) ? [] : {}
  if (node.value === null || typeof node.value === 'string') return node.value
  return node.source ?? String(node.value)
}

function sentence(message: string): string {
  return message.split(/[;\n]/)[0] ?? message
}
