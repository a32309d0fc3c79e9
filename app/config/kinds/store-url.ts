import type { Parsed } from './kind.ts'

/** A Redis or Valkey server, as its client wants to know it. */
export interface StoreAddress {
  readonly host: string
  readonly port: number
  readonly username: string | undefined
  readonly password: string | undefined
  readonly db: number
  readonly tls: boolean
}

const schemes: Readonly<Record<string, { readonly tls: boolean }>> = {
  'redis:': { tls: false },
  'rediss:': { tls: true },
  'valkey:': { tls: false },
  'valkeys:': { tls: true },
}
const usualPort = 6379

/** Checks the address of a store: `redis://user:password@host:6379/0`. It stays as it was written. */
export function parseStoreUrl(written: string): Parsed<string> {
  const scheme = /^([a-z][a-z0-9+.-]*:)\/\//i.exec(written)?.[1]?.toLowerCase()
  if (scheme === undefined || schemes[scheme] === undefined)
    return { hint: 'it begins with redis:// or rediss:// (valkey:// and valkeys:// mean the same)' }
  if (!URL.canParse(written)) return { hint: 'it is not a URL' }
  const url = new URL(written)
  if (url.hostname === '') return { hint: 'it names no host' }
  if (!/^\/?\d{0,4}$/.test(url.pathname)) return { hint: 'what follows the host is the number of a database' }
  if (/[?#]/.test(written)) return { hint: 'leave out what follows the number of the database' }
  try {
    storeAddress(written)
  } catch {
    return { hint: 'a % in user or password must be followed by two hexadecimal digits' }
  }
  return { value: written }
}

/** @param url one that `parseStoreUrl` has accepted */
export function storeAddress(url: string): StoreAddress {
  const { protocol, hostname, port, username, password, pathname } = new URL(url)
  return {
    host: hostname.replace(/^\[(.*)\]$/, '$1'),
    port: port === '' ? usualPort : Number(port),
    username: username === '' ? undefined : decodeURIComponent(username),
    password: password === '' ? undefined : decodeURIComponent(password),
    db: Number(pathname.slice(1)),
    tls: schemes[protocol]?.tls === true,
  }
}
