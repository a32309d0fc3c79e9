/**
 * Splits TypeScript into words, strings and signs, without comments: just enough to find imports and global names.
 * A real parser would be a dependency of the tests for one question; this one is tested on the hard cases.
 */

export interface Token {
  readonly kind: 'word' | 'string' | 'template' | 'sign'
  /** Of a string: what is between the quotes, escapes left as they are. */
  readonly text: string
}

const skipped = /(?:\s+|\/\/[^\n]*|\/\*[\s\S]*?\*\/)+/y
const word = /[\p{ID_Start}$_#][\p{ID_Continue}$\u200c\u200d]*|\d[\w.]*/uy
const quoted = /'((?:[^'\\\n]|\\[\s\S])*)'|"((?:[^"\\\n]|\\[\s\S])*)"/y
const regex = /\/(?:[^/\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/[a-z]*/y
const templateText = /(?:[^`\\$]|\\[\s\S]|\$(?!\{))*/y

/** After these words a slash begins a regular expression, after any other word it divides. */
const beforeRegex = new Set([
  'return',
  'typeof',
  'case',
  'in',
  'of',
  'delete',
  'void',
  'throw',
  'new',
  'else',
  'await',
  'yield',
])

export function tokensOf(source: string): Token[] {
  const tokens: Token[] = []
  scan(source.replace(/^#!.*/, ''), 0, tokens, false)
  return tokens
}

/** Reads to the end, or to the brace that closes a template's `${`; returns where it stopped. */
function scan(source: string, start: number, tokens: Token[], inTemplate: boolean): number {
  let at = start
  let depth = 0
  while (at < source.length) {
    at += match(skipped, source, at)?.[0].length ?? 0
    const sign = source[at]
    if (sign === undefined) break
    if (inTemplate && sign === '}' && depth === 0) return at + 1
    depth += sign === '{' ? 1 : sign === '}' ? -1 : 0
    at = sign === '`' ? template(source, at + 1, tokens) : token(source, at, tokens)
  }
  return at
}

function token(source: string, at: number, tokens: Token[]): number {
  const text = match(quoted, source, at)
  if (text) return add({ kind: 'string', text: text[1] ?? text[2] ?? '' }, text[0])
  const name = match(word, source, at)
  if (name) return add({ kind: 'word', text: name[0] }, name[0])
  const pattern = startsRegex(tokens.at(-1)) ? match(regex, source, at) : undefined
  if (pattern) return add({ kind: 'template', text: '' }, pattern[0])
  return add({ kind: 'sign', text: source[at] ?? '' }, ' ')

  function add(found: Token, taken: string): number {
    tokens.push(found)
    return at + taken.length
  }
}

/** A template without `${}` is a string. */
function template(source: string, start: number, tokens: Token[]): number {
  const begin = tokens.length
  let at = start
  let whole = true
  for (;;) {
    const text = match(templateText, source, at)?.[0] ?? ''
    at += text.length
    if (source[at] !== '$') {
      if (whole) tokens.push({ kind: 'string', text })
      else tokens.splice(begin, 0, { kind: 'template', text: '' })
      return at + 1
    }
    whole = false
    at = scan(source, at + 2, tokens, true)
  }
}

function startsRegex(before: Token | undefined): boolean {
  if (before === undefined) return true
  if (before.kind === 'word') return beforeRegex.has(before.text)
  return before.kind === 'sign' && before.text !== ')' && before.text !== ']'
}

function match(pattern: RegExp, source: string, at: number): RegExpExecArray | undefined {
  pattern.lastIndex = at
  return pattern.exec(source) ?? undefined
}
