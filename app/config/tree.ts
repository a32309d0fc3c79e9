import { fileKey } from './kinds/setting.ts'
import type { Origin } from './problem.ts'

/** A value of a file or a program with what is in it, each with its place. */
export type Tree =
  | Leaf
  | { readonly kind: 'list'; readonly origin: Origin; readonly items: readonly Tree[] }
  | { readonly kind: 'fields'; readonly origin: Origin; readonly fields: readonly Field[] }

export interface Leaf {
  readonly kind: 'value'
  readonly origin: Origin
  readonly value: unknown
  /** It has been told what is wrong with it. */
  readonly isFaulty?: true
}

/** A field of a group, with the place of its name. */
export interface Field {
  readonly written: string
  readonly origin: Origin
  readonly tree: Tree
}

/** Levels; what is deeper is shown as a group, and means nothing here. */
export const deepest = 5

/**
 * The tree of a value within a program. A date becomes the text for it.
 * @param place where what is at a path is, such as `[0].limits`
 */
export function treeOf(value: unknown, place: (path: string) => Origin, path = '', level = 0): Tree {
  const origin = place(path)
  if (value instanceof Date) return { kind: 'value', origin, value: isoTime(value) }
  if (typeof value !== 'object' || value === null || level === deepest)
    return { kind: 'value', origin, value }
  const within = (item: unknown, step: string) => treeOf(item, place, path + step, level + 1)
  if (Array.isArray(value))
    return { kind: 'list', origin, items: value.map((item, at) => within(item, `[${at}]`)) }
  const fields = Object.entries(value)
    .filter(([, each]) => each !== undefined)
    .map(([written, each]: [string, unknown]) => {
      const tree = within(each, `.${written}`)
      return { written, origin: tree.origin, tree }
    })
  return { kind: 'fields', origin, fields }
}

function isoTime(date: Date): string {
  return Number.isNaN(date.getTime()) ? 'no time' : date.toISOString()
}

/**
 * The same tree with other values; several at once, since they may have to be looked up.
 * @param path of the tree, such as `keys`
 */
export async function withValues(
  tree: Tree,
  path: string,
  change: (leaf: Leaf, path: string) => Promise<Leaf>,
): Promise<Tree> {
  switch (tree.kind) {
    case 'value':
      return change(tree, path)
    case 'list': {
      const items = tree.items.map((item, at) => withValues(item, `${path}[${at}]`, change))
      return { ...tree, items: await Promise.all(items) }
    }
    case 'fields': {
      const fields = tree.fields.map(async (field) => ({
        ...field,
        tree: await withValues(field.tree, `${path}.${fileKey(field.written)}`, change),
      }))
      return { ...tree, fields: await Promise.all(fields) }
    }
  }
}
