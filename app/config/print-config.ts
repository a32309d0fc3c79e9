import { keyEntries, shownKeys } from './key-entries.ts'
import type { Origins } from './resolve.ts'
import { type Config, groups, type NamedSetting, settings } from './settings.ts'

/**
 * The configuration that results, as YAML that `--config` can read again, with the origin of each value beside it.
 * Keys are never printed: their lines say only whether there is one, and are comments.
 */
export function printConfig(config: Config, origins: Origins): string {
  const rows = settings.map((entry) => ({
    group: entry.group,
    line: lineOf(entry, config),
    origin: origins[entry.key].text,
  }))
  const width = Math.min(60, Math.max(...rows.map(({ line }) => line.length)))
  const lines = groups.flatMap(({ title }) => [
    `# ${title}`,
    ...rows
      .filter(({ group }) => group === title)
      .map(({ line, origin }) => `${line.padEnd(width)}  # ${origin.replaceAll('\n', ' ')}`),
  ])
  const own = Object.keys(config.selectionPolicies)
  lines.push(
    '# Lists',
    `# keys: ${shownKeys(keyEntries(config))}`,
    '# Code',
    `# middleware: ${config.middleware.length}`,
    `# selection-policies: ${own.length === 0 ? 'none' : own.join(', ')}`,
  )
  return `${lines.join('\n')}\n`
}

function lineOf(entry: NamedSetting, config: Config): string {
  const value = config[entry.key]
  if (entry.secret) return `# ${entry.flag}: ${hidden(value)}`
  const shown = Array.isArray(value) && value.length > 0 ? flow(value) : scalar(entry.kind.show(value))
  return `${entry.key === 'config' ? '# ' : ''}${entry.flag}: ${shown}`
}

function hidden(value: unknown): string {
  if (value === undefined) return 'none'
  if (!Array.isArray(value)) return 'set, not shown'
  return value.length === 0 ? 'none' : `${value.length} set, not shown`
}

function flow(items: readonly string[]): string {
  return `[${items.map(scalar).join(', ')}]`
}

/** Plain where YAML reads it back as the same text, else quoted. JSON strings are YAML strings. */
function scalar(text: string): string {
  if (text.includes('${')) return JSON.stringify(text.replaceAll('${', () => '$${'))
  return /^[\w./][\w./:-]*$/.test(text) && !/^(null|~)$/i.test(text) && !text.endsWith(':')
    ? text
    : JSON.stringify(text)
}
