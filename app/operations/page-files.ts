import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { gzipSync } from 'node:zlib'

/** A file of the page as it is sent. */
export interface PageFile {
  readonly type: string
  readonly bytes: Uint8Array
  readonly gzip: Uint8Array
  readonly etag: string
}

/** By path on the operations listener: `/` and `/page/...`. */
export type PageFiles = ReadonlyMap<string, PageFile>

const types: Readonly<Record<string, string>> = {
  html: 'text/html; charset=utf-8',
  css: 'text/css; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  svg: 'image/svg+xml',
}

const folder = new URL('./page/', import.meta.url)
/** Only for a compiled program, which has no folder to read: it names the files of the page one by one. */
const embedded = 'embedded.js'

/** Reads the page, once: what is on the disk later may belong to another version of the program. */
export async function readPage(): Promise<PageFiles> {
  const texts = await textsOfPage()
  const files = Object.entries(texts).map(([name, text]) => {
    const type = types[name.slice(name.lastIndexOf('.') + 1)] ?? 'application/octet-stream'
    return [name === 'index.html' ? '/' : `/page/${name}`, new TextFile(type, text)] as const
  })
  return new Map(files)
}

async function textsOfPage(): Promise<Readonly<Record<string, string>>> {
  if (/\$bunfs|~BUN/.test(import.meta.url)) return (await import('./page/embedded.js')).texts
  const names = readdirSync(folder).filter((name) => /\.(html|css|js|svg)$/.test(name) && name !== embedded)
  return Object.fromEntries(names.map((name) => [name, readFileSync(new URL(name, folder), 'utf8')]))
}

/** Compressed and hashed when it is first asked for: most processes of a router are never asked. */
class TextFile implements PageFile {
  readonly type: string
  readonly bytes: Uint8Array
  #gzip: Uint8Array | undefined
  #etag: string | undefined

  constructor(type: string, text: string) {
    this.type = type
    this.bytes = Buffer.from(text)
  }

  get gzip(): Uint8Array {
    this.#gzip ??= gzipSync(this.bytes, { level: 9 })
    return this.#gzip
  }

  get etag(): string {
    this.#etag ??= `"${createHash('sha256').update(this.bytes).digest('base64url').slice(0, 22)}"`
    return this.#etag
  }
}
