import { readFile, stat } from 'node:fs/promises'
import type { ReadFile } from '../config/config-file.ts'

/** Milliseconds between two looks at the files. */
const everyMs = 2000

export interface WatchOptions {
  /** Of the files as they were read: what was written since then is a change. Undefined: as they are now. */
  readonly readVersion?: string | undefined
  readonly intervalMs?: number
}

/**
 * Reads files, and says of each which version it was. Looked at before it is read: what is written meanwhile may be read
 * twice, but is not missed.
 */
export function readNoting(note: (version: string, path: string) => void): ReadFile {
  return async (path) => {
    note(await versionOf([path]), path)
    return await readFile(path, 'utf8')
  }
}

/**
 * Calls `onChange` when one of the files has changed and two looks in a row have found all of them alike: a file that is
 * being written is not read half, nor a certificate without its new key. Looked at rather than watched, so that the
 * swapped link of a mounted ConfigMap and a network file system are seen like an editor's save. Returns what ends it.
 */
export function watchFiles(
  paths: readonly string[],
  onChange: () => void,
  { intervalMs = everyMs, readVersion }: WatchOptions = {},
): () => void {
  if (paths.length === 0) return () => {}
  let used = readVersion
  let seen: string | undefined
  let looking = false
  const look = async (): Promise<void> => {
    // A file system that does not answer must not take up one thread of the runtime after the other.
    if (looking) return
    looking = true
    const now = await versionOf(paths)
    looking = false
    used ??= now
    const settled = now === seen
    seen = now
    // A file that is gone is about to come back: what was read last stays.
    if (!settled || now === used || now.includes(gone)) return
    used = now
    onChange()
  }
  void look()
  const timer = setInterval(() => void look(), intervalMs)
  timer.unref()
  return () => clearInterval(timer)
}

const gone = 'gone'

/** Of all of them together. Follows links. */
export async function versionOf(paths: readonly string[]): Promise<string> {
  return (await Promise.all(paths.map(versionOfOne))).join(', ')
}

async function versionOfOne(path: string): Promise<string> {
  try {
    // The time of the change as well: a copy may bring the time of its original, and permissions have no other.
    const { mtimeMs, ctimeMs, size, ino, dev } = await stat(path)
    return `${dev} ${ino} ${size} ${mtimeMs} ${ctimeMs}`
  } catch {
    return gone
  }
}
