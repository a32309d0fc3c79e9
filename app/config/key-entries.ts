import * as v from 'valibot'
import type { TenantLimits } from '../../http/tenant.ts'
import { hashOfKey, type KeyEntry } from '../../middleware/key-ring.ts'
import { type KeyField, keyFields, limitFields } from './key-fields.ts'
import { ownIssue } from './kinds/kind.ts'
import { nearest } from './kinds/nearest.ts'
import { fileKey, kebabCase } from './kinds/setting.ts'
import { type ConfigProblem, got, type Origin } from './problem.ts'
import type { Field, Tree } from './tree.ts'

/** What a program writes for an entry of `keys`; files write the names in kebab-case. */
export interface KeyEntryInput {
  readonly name: string
  /** Of its key, or of several: `sha256:` and 64 hex digits. */
  readonly hash?: string | readonly string[] | undefined
  /** Names of client certificates: `cn:...`, `dns:...`, `uri:...`. */
  readonly certificate?: string | readonly string[] | undefined
  /** Default: all. */
  readonly models?: string | readonly string[] | undefined
  /** Default: all. */
  readonly routes?: string | readonly string[] | undefined
  /** Default `normal`. */
  readonly priority?: KeyEntry['priority'] | undefined
  /** Default 1. */
  readonly weight?: number | string | undefined
  readonly limits?: TenantLimits | undefined
  /** Default: never. */
  readonly expires?: string | Date | undefined
}

/** Who may ask, as the configuration has it. */
export interface KeyLists {
  /** Undefined: it has no such list. An empty one lets nobody in. */
  readonly keys: readonly KeyEntry[] | undefined
  /** What stood in `--keys-file` when it was read; whoever reads a configuration sets it. */
  readonly fileKeys: readonly KeyEntry[] | undefined
}

export const keyLists = ['keys', 'fileKeys'] as const satisfies readonly (keyof KeyLists)[]

/** All of them; undefined where there is no list. */
export function keyEntries({ keys, fileKeys }: KeyLists): readonly KeyEntry[] | undefined {
  return keys === undefined && fileKeys === undefined ? undefined : [...(keys ?? []), ...(fileKeys ?? [])]
}

/** The names of those that certificates stand for. */
export function certifiedTenants(lists: KeyLists): string[] {
  return (keyEntries(lists) ?? []).flatMap(({ name, certificate }) =>
    certificate === undefined ? [] : [name],
  )
}

/** What is shown of a list: how long it is. */
export function shownKeys(entries: readonly KeyEntry[] | undefined): string {
  return entries === undefined ? 'none' : `${entries.length} set, not shown`
}

/** Whether clients must show the router who they are. */
export function asksForKeys(config: KeyLists & Pick<PlainKeys, 'routerApiKeys'>): boolean {
  return config.routerApiKeys.length > 0 || keyEntries(config) !== undefined
}

/** An entry, and where that of it stands which no other one may have. */
export interface PlacedEntry {
  /** Undefined where something is wrong with it. */
  readonly entry: KeyEntry | undefined
  readonly path: string
  readonly name: Placed | undefined
  readonly hashes: readonly Placed[]
  readonly certificates: readonly Placed[]
}

interface Placed {
  readonly value: string
  readonly origin: Origin
}

export interface ReadEntries {
  readonly entries: readonly PlacedEntry[]
  readonly faults: readonly ConfigProblem[]
}

/** Reads a list of entries, with everything that is wrong with it. Neither hashes nor what may be a key are shown. */
export function readKeyEntries(tree: Tree): ReadEntries {
  const faults: ConfigProblem[] = []
  if (tree.kind !== 'list') {
    const hint =
      tree.kind === 'fields' && tree.fields.some(({ written }) => fileKey(written) === 'keys')
        ? 'leave out the line keys: above the list'
        : 'an empty one is written []'
    faults.push({ ...fault('keys', tree), allowed: 'a list of entries, each with a name', hint })
    return { entries: [], faults }
  }
  const read = tree.items.map((item, at) => new EntryReader(item, `keys[${at}]`))
  return {
    entries: read.flatMap((one) => one.placed ?? []),
    faults: read.flatMap((one) => one.faults),
  }
}

/** What may be a key is not shown: somebody may have put it where its hash belongs. */
function fault(name: string, { kind, origin, ...tree }: Tree): ConfigProblem {
  const value = 'value' in tree ? tree.value : kind === 'list' ? 'list' : 'group'
  const problem =
    kind === 'value'
      ? got(value, typeof value === 'string')
      : `got a ${kind === 'list' ? 'list' : 'group of keys'}`
  return { name, origin: origin.text, problem }
}

class EntryReader {
  readonly faults: ConfigProblem[] = []
  /** Undefined where it is no group of fields. */
  readonly placed: PlacedEntry | undefined
  readonly #path: string
  /** Something is wrong, and has been told already. */
  #isTold = false

  constructor(tree: Tree, path: string) {
    this.#path = path
    if (tree.kind !== 'fields') {
      this.faults.push({ ...fault(path, tree), allowed: 'a group of fields, such as name: team-a' })
      return
    }
    const given = this.#fieldsIn(tree.fields, path, [...Object.keys(keyFields), 'limits'])
    if (!given.has('name')) {
      const { allowed } = keyFields.name.kind
      this.faults.push({ name: `${path}.name`, origin: tree.origin.text, problem: 'it is missing', allowed })
    }
    const read = <T>(key: keyof typeof keyFields, field: KeyField<T>) =>
      this.#read(path, key, field, given.get(key))
    const hash = read('hash', keyFields.hash)
    const certificate = read('certificate', keyFields.certificate)
    const placed = (key: string, values: readonly string[] = []): readonly Placed[] =>
      values.map((value, at) => ({ value, origin: originOf(given.get(key), tree, at) }))
    const entry: KeyEntry = {
      name: read('name', keyFields.name) ?? '',
      models: read('models', keyFields.models),
      routes: read('routes', keyFields.routes),
      priority: read('priority', keyFields.priority) ?? 'normal',
      weight: read('weight', keyFields.weight) ?? 1,
      limits: this.#limits(given.get('limits')),
      hash,
      certificate,
      expires: read('expires', keyFields.expires),
    }
    const isRight = this.faults.length === 0 && !this.#isTold
    this.placed = {
      entry: isRight ? withoutAbsent(entry) : undefined,
      path,
      name: entry.name === '' ? undefined : { value: entry.name, origin: originOf(given.get('name'), tree) },
      hashes: placed('hash', hash),
      certificates: placed('certificate', certificate),
    }
  }

  /** By their names as programs write them. */
  #fieldsIn(fields: readonly Field[], path: string, known: readonly string[]): Map<string, Field> {
    const found = new Map<string, Field>()
    for (const field of fields) {
      const key = known.find((name) => kebabCase(name) === fileKey(field.written))
      if (key === undefined) this.faults.push(unknownField(field, path, known))
      else if (found.has(key))
        this.faults.push({
          name: `${path}.${kebabCase(key)}`,
          origin: field.origin.text,
          problem: 'given twice, in two spellings',
        })
      else found.set(key, field)
    }
    return found
  }

  #limits(field: Field | undefined): TenantLimits {
    if (field === undefined) return {}
    const path = `${this.#path}.limits`
    if (field.tree.kind !== 'fields') {
      const allowed = `a group of fields: ${Object.keys(limitFields).map(kebabCase).join(', ')}`
      this.faults.push({ ...fault(path, field.tree), allowed })
      return {}
    }
    const given = this.#fieldsIn(field.tree.fields, path, Object.keys(limitFields))
    const limits = Object.entries(limitFields).map(
      ([key, limit]) => [key, this.#read(path, key, limit, given.get(key))] as const,
    )
    return withoutAbsent(Object.fromEntries(limits))
  }

  #read<T>(path: string, key: string, field: KeyField<T>, given: Field | undefined): T | undefined {
    if (given === undefined) return undefined
    const name = `${path}.${kebabCase(key)}`
    const { kind } = field
    const { tree } = given
    const allowed = kind.item ?? kind.allowed
    if (tree.kind === 'fields' || (tree.kind === 'list' && kind.takes !== 'list')) {
      this.faults.push({ ...fault(name, tree), allowed })
      return undefined
    }
    const items = tree.kind === 'list' ? tree.items : [tree]
    if (items.some((item) => item.kind === 'value' && item.isFaulty)) {
      this.#isTold = true
      return undefined
    }
    const values = items.map((item) => (item.kind === 'value' ? item.value : item.kind === 'list' ? [] : {}))
    const result = v.safeParse(kind.schema, tree.kind === 'list' ? values : values[0])
    if (result.success && !(Array.isArray(result.output) && result.output.length === 0)) return result.output
    if (result.success) {
      const hint = field.secret ? undefined : 'leave the field out where all are meant'
      this.faults.push({ name, origin: tree.origin.text, problem: 'got an empty list', allowed, hint })
      return undefined
    }
    for (const issue of result.issues) {
      const at = issue.path?.[0]?.key
      const item = (tree.kind === 'list' && typeof at === 'number' ? items[at] : undefined) ?? tree
      const isHidden = field.secret === true || item.origin.isReference === true
      const value = tree.kind === 'list' && typeof at === 'number' ? values[at] : values[0]
      const problem = got(value, isHidden)
      const hint = isHidden && !field.secret ? undefined : issue.type === ownIssue ? issue.message : undefined
      this.faults.push({ name, origin: item.origin.text, problem, allowed, hint })
    }
    return undefined
  }
}

/** @param at of an item, where the field holds a list */
function originOf(field: Field | undefined, entry: Tree, at = -1): Origin {
  const tree = field?.tree ?? entry
  return (tree.kind === 'list' ? tree.items[at]?.origin : undefined) ?? tree.origin
}

/** Other words for a field, and what is meant by them. */
const otherWords: Readonly<Record<string, string>> = {
  key: 'the hash of the key stands here, never the key: `vllm-router hash-key` makes the line',
  'api-key': 'the hash of the key stands here, never the key: `vllm-router hash-key` makes the line',
  keys: 'the hash of the key stands here, never the key: `vllm-router hash-key` makes the line',
  hashes: 'did you mean hash?',
  model: 'did you mean models?',
  route: 'did you mean routes?',
  certificates: 'did you mean certificate?',
  cert: 'did you mean certificate?',
  expiry: 'did you mean expires?',
}

function unknownField({ written, origin }: Field, path: string, known: readonly string[]): ConfigProblem {
  const name = fileKey(written)
  const names = known.map(kebabCase)
  const meant = nearest(name, names)
  const hint = otherWords[name] ?? (meant === undefined ? undefined : `did you mean ${meant}?`)
  // A name that is like none of them may be a key in the wrong place.
  const shown = hint === undefined ? path : `${path}.${name}`
  return { name: shown, origin: origin.text, problem: 'unknown field', allowed: names.join(', '), hint }
}

function withoutAbsent<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).filter(([, each]) => each !== undefined)) as T
}

/** Keys of the router that are given as they are. */
export interface PlainKeys {
  readonly adminApiKey: string | undefined
  readonly routerApiKeys: readonly string[]
}

/** What is wrong with entries together: names, keys and certificates that stand for more than one thing. */
export function clashes(
  placed: readonly PlacedEntry[],
  { adminApiKey, routerApiKeys }: PlainKeys,
): ConfigProblem[] {
  const faults: ConfigProblem[] = []
  const names = new Map<string, Origin>()
  const hashes = new Map<string, string>()
  if (adminApiKey !== undefined) hashes.set(hashOfKey(adminApiKey), 'that of --admin-api-key')
  for (const key of routerApiKeys) hashes.set(hashOfKey(key), 'that of one of --router-api-keys')
  const certificates = new Map<string, Origin>()
  for (const { path, name, hashes: own, certificates: shown } of placed) {
    const before = name && names.get(name.value)
    if (name !== undefined && before === undefined) names.set(name.value, name.origin)
    if (name !== undefined && before !== undefined) {
      const problem = `the name is given twice, first in ${before.text}`
      faults.push({ name: `${path}.name`, origin: name.origin.text, problem })
    }
    for (const { value, origin } of own) {
      const taken = hashes.get(value)
      if (taken === undefined) hashes.set(value, `given twice, first in ${origin.text}`)
      else faults.push({ name: `${path}.hash`, origin: origin.text, problem: `the hash is ${taken}` })
    }
    for (const { value, origin } of shown) {
      const before = certificates.get(value)
      if (before === undefined) certificates.set(value, origin)
      else {
        const problem = `the name is given twice, first in ${before.text}`
        faults.push({ name: `${path}.certificate`, origin: origin.text, problem })
      }
    }
  }
  return faults
}
