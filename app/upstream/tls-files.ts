import { readFileSync } from 'node:fs'
import { createSecureContext } from 'node:tls'
import type { TlsFiles } from './http-client.ts'

/** Paths of PEM files. */
export interface TlsPaths {
  readonly ca?: string | undefined
  readonly cert?: string | undefined
  readonly key?: string | undefined
}

/** What is wrong with one of the files. */
export interface TlsFault {
  readonly part: keyof TlsPaths
  readonly path: string
  readonly problem: string
}

/** Reads the files and tries each; `tls` is undefined when no path is given, and no name. */
export function readTlsFiles(
  paths: TlsPaths,
  serverName?: string,
): {
  readonly tls: TlsFiles | undefined
  readonly faults: TlsFault[]
} {
  const read: Record<string, string> = {}
  const faults: TlsFault[] = []
  for (const part of ['ca', 'cert', 'key'] as const) {
    const path = paths[part]
    if (path === undefined) continue
    try {
      read[part] = readFileSync(path, 'utf8')
      if (!/-----BEGIN /.test(read[part])) throw new Error('it is no PEM file')
      // A key is tried together with its certificate.
      if (part !== 'key') createSecureContext({ [part]: read[part] })
      else createSecureContext(read)
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException
      faults.push({ part, path, problem: code === 'ENOENT' ? 'there is no such file' : message })
    }
  }
  const tls: TlsFiles = { ...read, ...(serverName !== undefined && { serverName }) }
  return { tls: Object.keys(tls).length === 0 ? undefined : tls, faults }
}
