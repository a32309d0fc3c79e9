/** An issuer of JSON Web Tokens whose public keys are read over HTTP, and who can be away, wrong or silent. */

import { createServer, type ServerResponse } from 'node:http'
import { type CryptoKey, exportJWK, generateKeyPair, type JWK, type JWTPayload, SignJWT } from 'jose'
import type { Scope } from './scope.ts'
import { listening, portOf } from './sockets.ts'

export const issuer = 'https://issuer.example/'
export const audience = 'router'

export interface TokenIssuer {
  /** Where its keys are. */
  readonly url: string
  /** How often they have been read, or tried to. */
  readonly reads: number
  /** As they are published. */
  readonly published: readonly JWK[]
  /** Adds a key of that algorithm under that name; the private half stays here. */
  addKey(kid: string, algorithm?: string): Promise<void>
  dropKey(kid: string): void
  /** A token that is right, but for what is changed. Undefined takes a claim away. */
  token(changes?: Readonly<Record<string, unknown>>, options?: TokenOptions): Promise<string>
  /** What the server does from now on; undefined: it answers. */
  use(behaviour: ((response: ServerResponse) => void) | undefined): void
  /** As if it were not there. */
  close(): Promise<void>
  reopen(): Promise<void>
}

export interface TokenOptions {
  readonly kid?: string
  /** Seconds from now; undefined: never. */
  readonly expiresIn?: number | undefined
}

export async function startTokenIssuer(t: Scope): Promise<TokenIssuer> {
  const privateKeys = new Map<string, { readonly key: CryptoKey; readonly algorithm: string }>()
  let published: JWK[] = []
  let reads = 0
  let behaviour: ((response: ServerResponse) => void) | undefined
  const open = () =>
    createServer((_, response) => {
      reads += 1
      if (behaviour !== undefined) return behaviour(response)
      response.setHeader('content-type', 'application/json')
      response.end(JSON.stringify({ keys: published }))
    })
  let server = open()
  await listening(server, 0)
  const port = portOf(server)
  const close = async (): Promise<void> => {
    const closed = new Promise<void>((resolve) => server.close(() => resolve()))
    server.closeAllConnections()
    await closed
  }
  t.after(close)
  const made: TokenIssuer = {
    url: `http://127.0.0.1:${port}/jwks`,
    get reads() {
      return reads
    },
    get published() {
      return published
    },
    async addKey(kid, algorithm = 'ES256') {
      const { publicKey, privateKey } = await generateKeyPair(algorithm, { extractable: true })
      privateKeys.set(kid, { key: privateKey, algorithm })
      published = [...published, { ...(await exportJWK(publicKey)), kid, alg: algorithm, use: 'sig' }]
    },
    dropKey(kid) {
      published = published.filter((one) => one.kid !== kid)
    },
    async token(changes = {}, options = {}) {
      const { kid = published.at(-1)?.kid ?? '' } = options
      const { key, algorithm } = privateKeys.get(kid)!
      const now = Math.floor(Date.now() / 1000)
      const expiresIn = 'expiresIn' in options ? options.expiresIn : 60
      const claims = { iss: issuer, aud: audience, sub: 'team-a', iat: now, ...changes }
      const ends = expiresIn === undefined ? {} : { exp: now + expiresIn }
      return new SignJWT({ ...ends, ...claims } as JWTPayload)
        .setProtectedHeader({ alg: algorithm, kid })
        .sign(key)
    },
    use(next) {
      behaviour = next
    },
    close,
    async reopen() {
      server = open()
      await listening(server, port)
    },
  }
  return made
}
