import { parseDocument } from 'yaml'
import { canonicalUrl, parseWorkerUrl } from './worker-url.ts'

export interface ListedWorker {
  readonly url: string
  readonly draining: boolean
}

/**
 * Reads a list of workers in YAML, or in JSON, which is YAML too: each entry a URL, or `{ url, draining }`.
 * An empty list is `[]`; a text without any list is a mistake, because a file that is being written looks like that.
 *
 * @throws Error that says what is wrong, and where
 */
export function parseWorkerList(text: string): ListedWorker[] {
  const document = parseDocument(text, { prettyErrors: false })
  const [broken] = [...document.errors, ...document.warnings]
  if (broken !== undefined) throw new Error(`not valid YAML: ${broken.message.split('\n', 1)[0]}`)
  const content: unknown = document.toJS()
  if (!Array.isArray(content)) throw new Error('not a list of worker URLs; an empty one is written []')
  const workers = content.map(parseEntry)
  // Said twice is said once; draining, if either entry says so.
  const byAddress = new Map<string, ListedWorker>()
  for (const worker of workers) {
    const address = canonicalUrl(worker.url)
    const draining = worker.draining || byAddress.get(address)?.draining === true
    byAddress.set(address, { ...worker, draining })
  }
  return [...byAddress.values()]
}

function parseEntry(entry: unknown, index: number): ListedWorker {
  const place = `entry ${index + 1}`
  if (typeof entry === 'string') return { url: parseUrl(entry, place), draining: false }
  if (typeof entry !== 'object' || entry === null || Array.isArray(entry))
    throw new Error(`${place} is neither a URL nor { url, draining }`)
  const { url, draining = false, ...rest } = entry as Record<string, unknown>
  const [unknown] = Object.keys(rest)
  if (unknown !== undefined) throw new Error(`${place}: ${JSON.stringify(unknown)} is not a known key`)
  if (typeof url !== 'string') throw new Error(`${place} has no url`)
  if (typeof draining !== 'boolean') throw new Error(`${place}: draining is neither true nor false`)
  return { url: parseUrl(url, place), draining }
}

function parseUrl(written: string, place: string): string {
  const parsed = parseWorkerUrl(written)
  if ('value' in parsed) return parsed.value
  throw new Error(`${place} is not a worker URL${parsed.hint === undefined ? '' : `: ${parsed.hint}`}`)
}
