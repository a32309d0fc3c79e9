/** Holds a set of source files against rules about who may import what. */

import { posix } from 'node:path'
import { importsOf, usesGlobal } from './imports.ts'

/** Path from the project's root -> text. */
export type Sources = ReadonlyMap<string, string>

/** What the files under a path may import of the project itself. The longest path that fits a file counts. */
export interface RoomRule {
  readonly room: string
  readonly mayImport: readonly string[]
  readonly because: string
}

/** A package, or a global name, that only some rooms may use. */
export interface ThingRule {
  /** Ends with `:` or `/` when it is the beginning of a family of names. */
  readonly things: readonly string[]
  readonly onlyIn: readonly string[]
  readonly because: string
}

export interface Rules {
  readonly rooms: readonly RoomRule[]
  readonly packages: readonly ThingRule[]
  readonly globals: readonly ThingRule[]
  /** Rooms whose files may import a computed path, which no test can follow. */
  readonly computed: ThingRule
  /** Directories from the lowest to the highest: a file imports from its own and from those before it, types included. */
  readonly floors: readonly string[]
  /** Rooms in which no file may come back to itself along its imports. */
  readonly noCycles: readonly string[]
}

/** Every breach of the rules, as a sentence. Empty when all is well. */
export function breachesOf(sources: Sources, rules: Rules): string[] {
  const breaches = [...sources].flatMap(([file, source]) => [
    ...importBreaches(file, source, sources, rules),
    ...globalBreaches(file, source, rules),
  ])
  return [...breaches, ...floorBreaches(sources, rules), ...cycleBreaches(sources, rules)]
}

function importBreaches(file: string, source: string, sources: Sources, rules: Rules): string[] {
  return importsOf(source).flatMap(({ specifier }): string[] => {
    if (specifier === undefined) {
      const { onlyIn, because } = rules.computed
      return isIn(file, onlyIn) ? [] : [`${file} imports a computed path: ${because}`]
    }
    const target = resolve(file, specifier)
    return target === undefined
      ? packageBreach(file, specifier, rules)
      : roomBreach(file, target, sources, rules)
  })
}

function roomBreach(file: string, target: string, sources: Sources, rules: Rules): string[] {
  const missing =
    sources.has(target) || !/\.[cm]?tsx?$/.test(target)
      ? []
      : [`${file} imports ${target}, which is not there`]
  const rule = rules.rooms
    .filter(({ room }) => isIn(file, [room]))
    .toSorted((a, b) => b.room.length - a.room.length)[0]
  if (rule === undefined) return [...missing, `${file} is in no room of the table`]
  return isIn(target, rule.mayImport) ? missing : [...missing, `${file} imports ${target}: ${rule.because}`]
}

function packageBreach(file: string, specifier: string, rules: Rules): string[] {
  return rules.packages
    .filter(({ things, onlyIn }) => things.some((thing) => isOf(specifier, thing)) && !isIn(file, onlyIn))
    .map(({ because }) => `${file} imports ${specifier}: ${because}`)
}

function globalBreaches(file: string, source: string, rules: Rules): string[] {
  return rules.globals.flatMap(({ things, onlyIn, because }) =>
    isIn(file, onlyIn)
      ? []
      : things
          .filter((thing) => usesGlobal(source, thing))
          .map((thing) => `${file} uses ${thing}: ${because}`),
  )
}

/** A path of the project, or undefined for a package. */
function resolve(file: string, specifier: string): string | undefined {
  if (!specifier.startsWith('.')) return undefined
  return posix.normalize(posix.join(posix.dirname(file), specifier))
}

function isIn(file: string, rooms: readonly string[]): boolean {
  return rooms.some((room) => file === room || file.startsWith(`${room}/`))
}

function isOf(specifier: string, thing: string): boolean {
  return specifier === thing || specifier.startsWith(/[:/]$/.test(thing) ? thing : `${thing}/`)
}

function floorBreaches(sources: Sources, { floors }: Rules): string[] {
  const floorOf = (file: string): number => floors.indexOf(posix.dirname(file))
  return [...sources].flatMap(([file, source]) => {
    const own = floorOf(file)
    if (own < 0) return []
    return importsOf(source).flatMap(({ specifier }) => {
      const target = specifier === undefined ? undefined : resolve(file, specifier)
      const up = target !== undefined && floorOf(target) > own
      return up ? [`${file} imports ${target}, which is on a higher floor`] : []
    })
  })
}

/** Each cycle once, by its files in order. Imports of types do not count: they are gone at run time. */
function cycleBreaches(sources: Sources, { noCycles }: Rules): string[] {
  const cycles = new Map<string, string>()
  const done = new Set<string>()
  const visit = (file: string, path: readonly string[]): void => {
    const seen = path.indexOf(file)
    if (seen >= 0) {
      const cycle = path.slice(seen)
      cycles.set(cycle.toSorted().join(), `import cycle: ${[...cycle, file].join(' -> ')}`)
      return
    }
    if (done.has(file)) return
    for (const target of runtimeImports(file, sources)) visit(target, [...path, file])
    done.add(file)
  }
  for (const file of sources.keys()) if (isIn(file, noCycles)) visit(file, [])
  return [...cycles.values()]
}

function runtimeImports(file: string, sources: Sources): string[] {
  return importsOf(sources.get(file) ?? '').flatMap(({ specifier, typeOnly }) => {
    const target = specifier === undefined || typeOnly ? undefined : resolve(file, specifier)
    return target === undefined ? [] : [target]
  })
}
