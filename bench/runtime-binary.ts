import { realpathSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

export type Runtime = 'bun' | 'node'

export const repository = fileURLToPath(new URL('..', import.meta.url))

/** The pinned binary itself, not a script that starts it: what is measured is one process. */
export function runtimeBinary(runtime: Runtime): string {
  return realpathSync(`${repository}node_modules/.bin/${runtime}`)
}
