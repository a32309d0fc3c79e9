import { pathToFileURL } from 'node:url'
import { collectKeys, notKeys } from './collect-keys.ts'
import type { Reading } from './problem.ts'

/**
 * Reads a configuration that is a program: its default export is an object with camelCase or kebab-case keys, or a
 * function, perhaps asynchronous, that returns one. It may carry `middleware` and `selectionPolicies`.
 */
export async function readCode(path: string, file: string): Promise<Reading> {
  const origin = `file ${file}`
  const failed = (problem: string): Reading => ({
    values: [],
    faults: [{ name: '--config', origin, problem }],
  })
  let content: unknown
  try {
    const module: { default?: unknown } = await import(pathToFileURL(path).href)
    if (module.default === undefined) return failed('it has no default export')
    content = typeof module.default === 'function' ? await module.default() : module.default
  } catch (error) {
    return failed(`it cannot be run: ${firstLine(error)}`)
  }
  if (typeof content !== 'object' || content === null || Array.isArray(content))
    return { values: [], faults: [notKeys('--config', origin, content)] }
  const keys = Object.entries(content)
    .filter(([, value]) => value !== undefined)
    .map(([written, value]: [string, unknown]) => ({
      written,
      value,
      origin: { source: 'file', text: `${origin} (${written})` } as const,
    }))
  return collectKeys(keys, true)
}

function firstLine(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error)
  return message.trim().split('\n')[0] || 'no message'
}
