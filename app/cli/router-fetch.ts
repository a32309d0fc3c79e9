import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { request as httpsRequest, type RequestOptions } from 'node:https'
import type { ConfigProblem } from '../config/problem.ts'
import { readTlsFiles, type TlsPaths } from '../upstream/tls-files.ts'
import type { OwnFlagName, OwnFlags } from './verbs.ts'

/** Asks a router; of what `fetch` can do, what the verbs use. */
export type RouterFetch = (url: string, init: RouterRequest) => Promise<RouterAnswer>

export interface RouterRequest {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  readonly signal: AbortSignal
}

export interface RouterAnswer {
  readonly status: number
  text(): Promise<string>
}

const flags = {
  ca: 'ca-file',
  cert: 'client-cert',
  key: 'client-key',
} as const satisfies Record<keyof TlsPaths, OwnFlagName>

export interface RouterFetchOptions {
  readonly own: OwnFlags
  /** File of the certificate that the listener shows, where the settings name it. */
  readonly shown: string | undefined
  /** For http. */
  readonly fetch?: typeof globalThis.fetch | undefined
}

/**
 * Makes what asks a router over http or https, or says what is wrong with the files that the flags name.
 *
 * Over https it believes the authorities of `--ca-file`; else, where the settings name the certificate of the listener,
 * nobody but who shows that one, by whatever name it is called; else the authorities of the runtime.
 */
export function routerFetch({
  own,
  shown,
  fetch = globalThis.fetch,
}: RouterFetchOptions): { readonly fetch: RouterFetch } | { readonly faults: readonly ConfigProblem[] } {
  const paths = { ca: own[flags.ca], cert: own[flags.cert], key: own[flags.key] }
  const { tls = {}, faults } = readTlsFiles(paths)
  if (faults.length > 0)
    return {
      faults: faults.map(({ part, path, problem }) => ({ name: `--${flags[part]}`, origin: path, problem })),
    }
  if ((paths.cert === undefined) !== (paths.key === undefined)) {
    const missing = paths.cert === undefined ? 'cert' : 'key'
    const problem = 'it is missing: a certificate and its key belong together'
    return { faults: [{ name: `--${flags[missing]}`, origin: 'command line', problem }] }
  }
  const secure = { ...tls, ...(tls.ca === undefined && pinned(shown)) }
  return {
    fetch: (url, init) =>
      url.startsWith('https:') ? ask(url, init, secure) : fetch(url, { ...init, redirect: 'manual' }),
  }
}

/** Only the listener of this very certificate is believed: with it goes the key of the administrator. */
function pinned(path: string | undefined): RequestOptions {
  const pem = path === undefined ? undefined : readOrNothing(path)
  if (pem === undefined) return {}
  const { fingerprint256 } = new X509Certificate(pem)
  return {
    ca: pem,
    // The certificate itself is the anchor, whoever has signed it. With another one the chain does not end in the file.
    allowPartialTrustChain: true,
    checkServerIdentity: (_, shown) =>
      shown.fingerprint256 === fingerprint256
        ? undefined
        : new Error(`it shows another certificate than the one in ${path}`),
  }
}

/** What is wrong with the file is for others to say: here it only means that it cannot help. */
function readOrNothing(path: string): string | undefined {
  try {
    const pem = readFileSync(path, 'utf8')
    return new X509Certificate(pem) && pem
  } catch {
    return undefined
  }
}

function ask(url: string, { body, ...init }: RouterRequest, tls: RequestOptions): Promise<RouterAnswer> {
  return new Promise((resolve, reject) => {
    const request = httpsRequest(url, { ...tls, ...init, agent: false }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('error', reject)
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, text: async () => Buffer.concat(chunks).toString() }),
      )
    })
    request.on('error', reject)
    request.end(body)
  })
}
