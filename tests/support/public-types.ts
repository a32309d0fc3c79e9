import { existsSync, readFileSync } from 'node:fs'
import { posix } from 'node:path'
import { fileURLToPath } from 'node:url'

const built = fileURLToPath(new URL('../../dist/', import.meta.url))

/**
 * All type declarations that a program can reach from the package's entry, without comments: file by file, in the order of
 * their names. Of what `npm run build` has made.
 */
export function publicTypes(): string {
  const found = new Map<string, string>()
  const visit = (file: string): void => {
    if (found.has(file)) return
    if (!existsSync(built))
      throw new Error('dist/ is missing: run `npm run build` first (npm test without a path does it)')
    const text = readFileSync(`${built}${file}`, 'utf8')
    found.set(file, text.replace(/\/\*[\s\S]*?\*\/\n?\s*|^\s*\/\/.*\n/gm, '').trim())
    for (const [, from, inline] of text.matchAll(/from '(\.[^']+)'|import\("(\.[^"]+)"\)/g)) {
      const target = (from ?? inline ?? '').replace(/\.[jt]s$/, '.d.ts')
      visit(posix.normalize(posix.join(posix.dirname(file), target)))
    }
  }
  visit('app/index.d.ts')
  const files = [...found].toSorted(([a], [b]) => (a < b ? -1 : 1))
  return `${files.map(([file, text]) => `=== ${file}\n${text}`).join('\n\n')}\n`
}
