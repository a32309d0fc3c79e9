import { extname } from 'node:path'

/**
 * Where the module of that name is beside another one, for a thread: its suffix is the same, `.ts`, or `.js` where all has
 * been built.
 *
 * @param own `import.meta.url` of the other one
 * @param name without suffix
 */
export function moduleBeside(own: string, name: string): URL {
  return new URL(`./${name}${extname(own)}`, own)
}
