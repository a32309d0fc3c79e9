import { parseDocument } from 'yaml'
import type { TlsFiles } from '../upstream/http-client.ts'
import { readTlsFiles, type TlsPaths } from '../upstream/tls-files.ts'
import { canonicalUrl, parseWorkerUrl } from './kinds/worker-url.ts'

export interface ListedWorker {
  readonly url: string
  readonly draining: boolean
  /** Undefined where the entry says none. */
  readonly weight?: number
  /** In place of what the configuration says for all workers. */
  readonly tls?: TlsFiles
}

/** The keys of an entry that name PEM files, as the settings for all workers are called. */
const tlsKeys = { ca: 'ca_file', cert: 'client_cert', key: 'client_key' } as const

/**
 * Reads a list of workers in YAML, or in JSON, which is YAML too: each entry a URL, or
 * `{ url, draining, weight, ca_file, client_cert, client_key, server_name }`. The files that an entry names are read too.
 *
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
    throw new Error(`${place} is neither a URL nor { url, ... }`)
  const {
    url,
    draining = false,
    weight,
    ca_file,
    client_cert,
    client_key,
    server_name,
    ...rest
  } = entry as Record<string, unknown>
  const [unknown] = Object.keys(rest)
  if (unknown !== undefined) throw new Error(`${place}: ${JSON.stringify(unknown)} is not a known key`)
  if (typeof url !== 'string') throw new Error(`${place} has no url`)
  if (typeof draining !== 'boolean') throw new Error(`${place}: draining is neither true nor false`)
  if (weight !== undefined && !isWeight(weight))
    throw new Error(`${place}: weight is no number from 0.01 to 100`)
  if (server_name !== undefined && (typeof server_name !== 'string' || server_name === ''))
    throw new Error(`${place}: server_name is not a host name`)
  const tls = parseTls({ ca_file, client_cert, client_key }, place, server_name)
  return { url: parseUrl(url, place), draining, ...(weight !== undefined && { weight }), ...(tls && { tls }) }
}

/** Whether a worker may have it as its weight. */
export function isWeight(value: unknown): value is number {
  return typeof value === 'number' && value >= 0.01 && value <= 100
}

function parseTls(
  written: Record<string, unknown>,
  place: string,
  serverName: string | undefined,
): TlsFiles | undefined {
  const { ca_file: ca, client_cert: cert, client_key: key } = written
  for (const [name, path] of Object.entries(written)) {
    if (path !== undefined && (typeof path !== 'string' || path === ''))
      throw new Error(`${place}: ${name} is not the path of a file`)
  }
  if ((cert === undefined) !== (key === undefined))
    throw new Error(`${place}: client_cert and client_key belong together`)
  const { tls, faults } = readTlsFiles({ ca, cert, key } as TlsPaths, serverName)
  const [fault] = faults
  if (fault !== undefined) throw new Error(`${place}: ${tlsKeys[fault.part]} ${fault.path}: ${fault.problem}`)
  return tls
}

function parseUrl(written: string, place: string): string {
  const parsed = parseWorkerUrl(written)
  if ('value' in parsed) return parsed.value
  throw new Error(`${place} is not a worker URL${parsed.hint === undefined ? '' : `: ${parsed.hint}`}`)
}
