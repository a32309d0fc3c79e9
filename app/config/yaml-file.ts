import { isAlias, isMap, isScalar, isSeq, LineCounter, type Node, type Pair, parseDocument } from 'yaml'
import { collectKeys, isKeyList, notKeys, type WrittenKey } from './collect-keys.ts'
import type { ConfigProblem, Origin, Reading } from './problem.ts'
import { deepest, type Field, type Tree } from './tree.ts'

/** Reads a configuration in YAML, or in JSON, which is YAML too. Every fault carries file:line:column. */
export function readYaml(text: string, file: string): Reading {
  const document = new PlacedYaml(text, file)
  const { contents, faults } = document
  if (faults.length > 0)
    return { values: [], faults: faults.map((fault) => ({ name: '--config', ...fault })) }
  if (contents === null || (isScalar(contents) && contents.value === null)) return { values: [], faults: [] }
  if (!isMap(contents)) {
    const fault = notKeys('--config', document.at(contents), plain(contents))
    // Of the wrong file it may be all that there is, and a key.
    return { values: [], faults: [isScalar(contents) ? { ...fault, problem: 'got a text' } : fault] }
  }
  const pairs = contents.items as Pair<Node, Node | null>[]
  const empty = pairs.map((pair) => document.emptyAliases(nameOf(pair), [pair.key, pair.value]))
  const right = pairs.filter((_, at) => empty[at]!.length === 0)
  const reading = collectKeys(
    right.map((pair) => writtenKey(pair, document)),
    false,
  )
  return { ...reading, faults: [...empty.flat(), ...reading.faults] }
}

/** Reads a list of keys in YAML, or in JSON, which is YAML too. */
export function readKeysYaml(text: string, file: string): Reading {
  const document = new PlacedYaml(text, file)
  const { contents } = document
  const faults = document.faults.map((fault) => ({ name: '--keys-file', ...fault }))
  if (faults.length === 0) faults.push(...document.emptyAliases('keys', [contents]))
  if (faults.length > 0) return { values: [], faults }
  const value = document.treeOf(contents)
  return { values: [{ key: 'fileKeys', value, origin: value.origin }], faults: [] }
}

/** A document whose nodes know where they stand. */
class PlacedYaml {
  /** Why it is no YAML; their names are still to be told. */
  readonly faults: readonly Omit<ConfigProblem, 'name'>[]
  readonly contents: Node | null
  readonly #document: ReturnType<typeof parseDocument>
  readonly #lines = new LineCounter()
  readonly #file: string

  constructor(text: string, file: string) {
    this.#file = file
    this.#document = parseDocument(text, { lineCounter: this.#lines, prettyErrors: false })
    const { errors, warnings, contents } = this.#document
    this.contents = contents
    this.faults = [...errors, ...warnings].map(({ pos, message }) => ({
      origin: this.#place(pos[0]),
      problem: `not valid: ${sentence(message)}`,
    }))
  }

  at(node: Node | null): string {
    return this.#place(node?.range?.[0] ?? 0)
  }

  #place(offset: number): string {
    const { line, col } = this.#lines.linePos(offset)
    return `file ${this.#file}:${line}:${col}`
  }

  /** An alias is judged as what it stands for, at the place where it stands. */
  meant(node: Node | null): Node | null {
    return isAlias(node) ? (node.resolve(this.#document) ?? null) : node
  }

  /** Never taken for no value at all: a key that is asked of clients would silently be none. */
  emptyAliases(name: string, nodes: readonly unknown[]): ConfigProblem[] {
    const found: ConfigProblem[] = []
    for (const node of nodes) {
      if (isAlias(node) && node.resolve(this.#document) === undefined)
        found.push(emptyAlias(name, this.at(node)))
      else if (isSeq(node)) found.push(...this.emptyAliases(name, node.items))
      else if (isMap(node))
        found.push(
          ...this.emptyAliases(
            name,
            node.items.flatMap(({ key, value }) => [key, value]),
          ),
        )
    }
    return found
  }

  treeOf(node: Node | null, level = 0): Tree {
    const origin: Origin = { source: 'file', text: this.at(node) }
    const content = this.meant(node)
    if (level < deepest && isSeq(content)) {
      const items = (content.items as (Node | null)[]).map((item) => this.treeOf(item, level + 1))
      return { kind: 'list', origin, items }
    }
    if (level < deepest && isMap(content)) {
      const fields = (content.items as Pair<Node, Node | null>[]).map((pair) => this.#field(pair, level + 1))
      return { kind: 'fields', origin, fields }
    }
    return { kind: 'value', origin, value: plain(content) }
  }

  #field(pair: Pair<Node, Node | null>, level: number): Field {
    const { key, value } = pair
    const origin: Origin = { source: 'file', text: this.at(key) }
    const tree: Tree = value === null ? { kind: 'value', origin, value } : this.treeOf(value, level)
    return { written: nameOf(pair), origin, tree }
  }
}

/** Its name is not told: a key that begins with * is none. */
function emptyAlias(name: string, place: string): ConfigProblem {
  return {
    name,
    origin: `${place} (${name})`,
    problem: 'the alias stands for nothing',
    hint: 'write & and its name before the value that is meant, further up; text that begins with * stands in quotes',
  }
}

function nameOf({ key }: Pair<Node, Node | null>): string {
  return isScalar(key) ? String(key.value) : 'a key that is no word'
}

function writtenKey(pair: Pair<Node, Node | null>, document: PlacedYaml): WrittenKey {
  const { key, value } = pair
  const written = nameOf(pair)
  const origin = (node: Node): Origin => ({ source: 'file', text: `${document.at(node)} (${written})` })
  const place = origin(value ?? key)
  if (isKeyList(written)) return { written, value: document.treeOf(value ?? key), origin: place }
  const content = document.meant(value)
  if (!isSeq(content)) return { written, value: plain(content), origin: place }
  const items = content.items as Node[]
  const values = items.map((item) => plain(document.meant(item)))
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

/** Without what the parser quotes from the file: a key without quotes may begin with any of the signs of YAML. */
function sentence(message: string): string {
  const [own = ''] = message.split(/[;\n]|: /)
  return own.replace(/[!%\\]\S*/g, '...')
}
