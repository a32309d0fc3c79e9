/** Finds what a source file imports, and which global names it uses. */

import { type Token, tokensOf } from './source-tokens.ts'

export interface Import {
  /** `undefined` when it is computed, so that nobody can know it from the source. */
  readonly specifier: string | undefined
  /** `import type` and `export type`: gone at run time. */
  readonly typeOnly: boolean
}

/** Static imports, side-effect imports, re-exports, `import()` with every string in its parentheses, and `require()`. */
export function importsOf(source: string): Import[] {
  const tokens = tokensOf(source)
  return tokens.flatMap((token, at): Import[] => {
    if (token.kind !== 'word' || isSign(tokens[at - 1], '.') || isSign(tokens[at + 1], ':')) return []
    if (token.text === 'import') return importAt(tokens, at)
    if (token.text === 'export') return reExportAt(tokens, at)
    if (token.text === 'require' && isSign(tokens[at + 1], '(')) return calledAt(tokens, at + 1)
    return []
  })
}

function importAt(tokens: readonly Token[], at: number): Import[] {
  const next = tokens[at + 1]
  if (isSign(next, '(')) return calledAt(tokens, at + 1)
  if (next?.kind === 'string') return [{ specifier: next.text, typeOnly: false }]
  if (next?.kind !== 'word' && !isSign(next, '{') && !isSign(next, '*')) return []
  // `import type from 'x'` imports a default export that is called type.
  const typeOnly =
    isWord(next, 'type') && !(isWord(tokens[at + 2], 'from') && tokens[at + 3]?.kind === 'string')
  return fromAfter(tokens, at + 1, typeOnly)
}

function reExportAt(tokens: readonly Token[], at: number): Import[] {
  const typeOnly = isWord(tokens[at + 1], 'type')
  const list = at + (typeOnly ? 2 : 1)
  if (isSign(tokens[list], '*')) return fromAfter(tokens, list, typeOnly)
  if (!isSign(tokens[list], '{')) return []
  const end = tokens.findIndex((token, index) => index > list && isSign(token, '}'))
  return isWord(tokens[end + 1], 'from') ? fromAfter(tokens, end, typeOnly) : []
}

/** The clause ends with `from '...'`. */
function fromAfter(tokens: readonly Token[], start: number, typeOnly: boolean): Import[] {
  for (let at = start; at < tokens.length; at++) {
    const specifier = tokens[at + 1]
    if (isWord(tokens[at], 'from') && specifier?.kind === 'string')
      return [{ specifier: specifier.text, typeOnly }]
    if (isSign(tokens[at], ';') || isSign(tokens[at], '=')) return []
  }
  return []
}

/** A call of `import` or `require`: `import(test ? './a.ts' : './b.ts')` imports both. */
function calledAt(tokens: readonly Token[], open: number): Import[] {
  const found: Import[] = []
  let depth = 0
  for (let at = open; at < tokens.length; at++) {
    const token = tokens[at]
    if (isSign(token, '(')) depth++
    if (isSign(token, ')') && --depth === 0) break
    if (token?.kind === 'string') found.push({ specifier: token.text, typeOnly: false })
  }
  return found.length > 0 ? found : [{ specifier: undefined, typeOnly: false }]
}

/**
 * Whether the source uses a global, or a property of one: `Bun`, `process.env`. A field of that name (`x.Bun`,
 * `{ Bun: 1 }`) is none.
 */
export function usesGlobal(source: string, name: string): boolean {
  const parts = name.split('.')
  const tokens = tokensOf(source)
  return tokens.some((_token, at) => {
    if (isSign(tokens[at - 1], '.') || isSign(tokens[at + 2 * parts.length - 1], ':'))
      return isGlobalThis(tokens, at, parts)
    return startsWith(tokens, at, parts)
  })
}

function isGlobalThis(tokens: readonly Token[], at: number, parts: readonly string[]): boolean {
  return isSign(tokens[at - 1], '.') && isWord(tokens[at - 2], 'globalThis') && startsWith(tokens, at, parts)
}

function startsWith(tokens: readonly Token[], at: number, parts: readonly string[]): boolean {
  return parts.every(
    (part, index) =>
      isWord(tokens[at + 2 * index], part) && (index === 0 || isSign(tokens[at + 2 * index - 1], '.')),
  )
}

function isWord(token: Token | undefined, text: string): boolean {
  return token?.kind === 'word' && token.text === text
}

function isSign(token: Token | undefined, text: string): boolean {
  return token?.kind === 'sign' && token.text === text
}
