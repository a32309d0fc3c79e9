/** The first place where a text stops being JSON. */
export interface JsonFault {
  /** Index into the text; its length when the text ends too early. */
  readonly offset: number
  /** What could have stood there. */
  readonly expected: string
}

/** What may come next: the whole memory of the scan besides the stack of open brackets. */
type State = 'value' | 'first item' | 'key' | 'first key' | 'colon' | 'next'

/**
 * Where RFC 8259 was broken; `undefined` when the text is JSON.
 *
 * The runtimes' own messages quote the text around the fault, which is somebody's prompt, and only V8 names a position
 * (not always). Only a request already known to be refused pays for this second look. It does not recurse.
 */
export function findJsonFault(text: string): JsonFault | undefined {
  const closers: string[] = []
  let state: State = 'value'
  let at = skipSpace(text, 0)
  while (at < text.length || state !== 'next' || closers.length > 0) {
    const char = text[at]
    const closer = closers.at(-1)
    if (state === 'colon') {
      if (char !== ':') return faultAt(at, state, closer)
      state = 'value'
      at++
    } else if (char !== undefined && char === closer && mayClose(state)) {
      closers.pop()
      state = 'next'
      at++
    } else if (state === 'next') {
      if (char !== ',' || closer === undefined) return faultAt(at, state, closer)
      state = closer === '}' ? 'key' : 'value'
      at++
    } else if (state === 'key' || state === 'first key') {
      const end = char === '"' ? endOfString(text, at) : faultAt(at, state, closer)
      if (typeof end !== 'number') return end
      state = 'colon'
      at = end
    } else if (char === '{' || char === '[') {
      closers.push(char === '{' ? '}' : ']')
      state = char === '{' ? 'first key' : 'first item'
      at++
    } else {
      const end = endOfScalar(text, at) ?? faultAt(at, state, closer)
      if (typeof end !== 'number') return end
      state = 'next'
      at = end
    }
    at = skipSpace(text, at)
  }
  return undefined
}

function mayClose(state: State): boolean {
  return state === 'next' || state === 'first item' || state === 'first key'
}

function faultAt(offset: number, state: State, closer: string | undefined): JsonFault {
  return { offset, expected: expectation(state, closer) }
}

function expectation(state: State, closer: string | undefined): string {
  switch (state) {
    case 'value':
      return 'a value'
    case 'first item':
      return 'a value or "]"'
    case 'key':
      return 'a key in double quotes'
    case 'first key':
      return 'a key in double quotes or "}"'
    case 'colon':
      return '":"'
    case 'next':
      return closer === undefined ? 'the end of the body' : `"," or "${closer}"`
  }
}

function skipSpace(text: string, from: number): number {
  let at = from
  for (;;) {
    const code = text.charCodeAt(at)
    if (code !== 32 && code !== 10 && code !== 13 && code !== 9) return at
    at++
  }
}

function endOfScalar(text: string, from: number): number | JsonFault | undefined {
  const char = text[from]
  if (char === '"') return endOfString(text, from)
  if (char === '-' || isDigit(text, from)) return endOfNumber(text, from)
  for (const word of ['true', 'false', 'null']) if (text.startsWith(word, from)) return from + word.length
  return undefined
}

function endOfString(text: string, from: number): number | JsonFault {
  let at = from + 1
  for (;;) {
    const code = text.charCodeAt(at)
    if (code === 34) return at + 1
    if (Number.isNaN(code)) return { offset: at, expected: 'a closing double quote' }
    if (code < 32) return { offset: at, expected: 'an escape instead of a control character' }
    if (code !== 92) at++
    else if ('"\\/bfnrt'.includes(text[at + 1] ?? 'none')) at += 2
    else if (/^u[0-9a-f]{4}/i.test(text.slice(at + 1, at + 6))) at += 6
    else return { offset: at, expected: 'a valid escape' }
  }
}

function endOfNumber(text: string, from: number): number | JsonFault {
  let at = text[from] === '-' ? from + 1 : from
  const fault = (offset: number) => ({ offset, expected: 'a digit' })
  if (!isDigit(text, at)) return fault(at)
  at = text[at] === '0' ? at + 1 : skipDigits(text, at)
  if (text[at] === '.') {
    if (!isDigit(text, at + 1)) return fault(at + 1)
    at = skipDigits(text, at + 1)
  }
  if (text[at] === 'e' || text[at] === 'E') {
    at += text[at + 1] === '+' || text[at + 1] === '-' ? 2 : 1
    if (!isDigit(text, at)) return fault(at)
    at = skipDigits(text, at)
  }
  return at
}

function isDigit(text: string, at: number): boolean {
  const code = text.charCodeAt(at)
  return code >= 48 && code <= 57
}

function skipDigits(text: string, from: number): number {
  let at = from
  while (isDigit(text, at)) at++
  return at
}
