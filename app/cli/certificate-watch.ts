import type { ReloadResult } from '../operations/router-control.ts'
import { type WatchOptions, watchFiles } from './config-watch.ts'

export interface CertificateWatchOptions extends WatchOptions {
  /** Milliseconds after which what could not be taken over is tried again. Default a minute. */
  readonly againMs?: number
}

/**
 * Has certificates and keys read anew when their files change; and again and again while that fails: a certificate that is
 * not valid yet will be, without any change of its file. Returns what ends it.
 */
export function watchCertificates(
  files: readonly string[],
  renew: (cause: string) => Promise<ReloadResult>,
  { againMs = 60_000, ...watching }: CertificateWatchOptions = {},
): () => void {
  let ended = false
  let timer: ReturnType<typeof setTimeout> | undefined

  async function tryIt(): Promise<void> {
    clearTimeout(timer)
    const { ok } = await renew('certificate files')
    if (ok || ended) return
    clearTimeout(timer)
    timer = setTimeout(() => void tryIt(), againMs)
    timer.unref()
  }

  const unwatch = watchFiles(files, () => void tryIt(), watching)
  return () => {
    ended = true
    clearTimeout(timer)
    unwatch()
  }
}
