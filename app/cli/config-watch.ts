import { readFile, stat } from 'node:fs/promises'
import type { ReadFile } from '../config/config-file.ts'

/** Milliseconds between two looks at the file. */
const everyMs = 2000

export interface WatchOptions {
  /** Of the file as it was read: what was written since then is a change. Undefined: as it is now. */
  readonly readVersion?: string | undefined
  readonly intervalMs?: number
}

/**
 * Reads files, and says of each which version it was. Looked at before it is read: what is written meanwhile may be read
 * twice, but is not missed.
 */
export function readNoting(note: (version: string) => void): ReadFile {
  return async (path) => {
    note(await versionOf(path))
    return await readFile(path, 'utf8')
  }
}

/**
 * Calls `onChange` when a file has changed and two looks in a row have found it alike: a file that is being written is not
 * read half. Looked at rather than watched, so that the swapped link of a mounted ConfigMap and a network file system are
 * seen like an editor's save. Returns what ends it.
 */
export function watchFile(
  path: string,
  onChange: () => void,
  { intervalMs = everyMs, readVersion }: WatchOptions = {},
): () => void {
  let used = readVersion
  let seen: string | undefined
  const look = async (): Promise<void> => {
    const now = await versionOf(path)
    used ??= now
    const settled = now === seen
    seen = now
    // A file that is gone is about to come back: what was read last stays.
    if (!settled || now === used || now === gone) return
    used = now
    onChange()
  }
  void look()
  const timer = setInterval(() => void look(), intervalMs)
  timer.unref()
  return () => clearInterval(timer)
}

const gone = 'gone'

/** Follows links. */
async function versionOf(path: string): Promise<string> {
  try {
    const { mtimeMs, size, ino, dev } = await stat(path)
    return `${dev} ${ino} ${size} ${mtimeMs}`
  } catch {
    return gone
  }
}
