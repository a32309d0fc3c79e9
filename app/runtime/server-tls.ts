import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createSecureContext } from 'node:tls'

/** What a listener needs to speak TLS: checked, as PEM texts. */
export interface ServerTls {
  /** The listener's own certificate, then those of the authorities between it and a root. */
  readonly cert: string
  readonly key: string
  /** Authorities that vouch for clients: each client must then show a certificate. Undefined: no client is asked. */
  readonly clientCa: string | undefined
  /** When the listener's own certificate expires: milliseconds since 1970. */
  readonly expiresAt: number
  /** No authority has signed it: clients must be told to trust this very certificate. */
  readonly selfSigned: boolean
}

/** Paths of PEM files. */
export interface ServerTlsPaths {
  readonly cert: string
  readonly key: string
  readonly clientCa?: string | undefined
}

/** What is wrong with one of the files. */
export interface ServerTlsFault {
  readonly part: keyof ServerTlsPaths
  readonly path: string
  readonly problem: string
  readonly hint?: string
}

/**
 * Reads the files of a listener and tries whether they belong together and hold now.
 *
 * @param now milliseconds since 1970
 */
export function readServerTls(
  paths: ServerTlsPaths,
  now = Date.now(),
): { readonly tls: ServerTls } | { readonly faults: readonly ServerTlsFault[] } {
  const faults: ServerTlsFault[] = []
  const part = <T>(name: keyof ServerTlsPaths, make: (path: string) => T): T | undefined => {
    const path = paths[name]
    if (path === undefined) return undefined
    try {
      return make(path)
    } catch (error) {
      const { problem, hint } = error instanceof Wrong ? error : { problem: messageOf(error) }
      faults.push({ part: name, path, problem, ...(hint !== undefined && { hint }) })
      return undefined
    }
  }
  const cert = part('cert', (path) => ownCertificate(readPem(path), now))
  const key = part('key', (path) => privateKey(readPem(path)))
  const clientCa = part('clientCa', (path) => authorities(readPem(path), now))
  if (cert !== undefined && key !== undefined) part('key', () => checkPair(cert, key, paths.cert))
  if (faults.length > 0 || cert === undefined || key === undefined) return { faults }
  return {
    tls: {
      cert: cert.text,
      key: key.text,
      clientCa,
      expiresAt: Date.parse(cert.own.validTo),
      selfSigned: cert.own.checkIssued(cert.own),
    },
  }
}

function checkPair(
  { own, text: cert }: { readonly own: X509Certificate; readonly text: string },
  { privateKey, text: key }: { readonly privateKey: KeyObject; readonly text: string },
  path: string,
): void {
  if (!own.checkPrivateKey(privateKey))
    throw new Wrong(`it is not the key of the certificate in ${path}`, 'replace both files together')
  // What the library that encrypts has against them: a key that is too short, for example.
  createSecureContext({ cert, key })
}

export function isSameTls(a: ServerTls, b: ServerTls): boolean {
  return a.cert === b.cert && a.key === b.key && a.clientCa === b.clientCa
}

class Wrong extends Error {
  readonly problem: string
  readonly hint: string | undefined

  constructor(problem: string, hint?: string) {
    super(problem)
    this.problem = problem
    this.hint = hint
  }
}

function readPem(path: string): string {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') throw new Wrong('there is no such file')
    if (code === 'EACCES') throw new Wrong('the router may not read it')
    throw new Wrong(code === 'EISDIR' ? 'it is a directory' : message)
  }
  if (!text.includes('-----BEGIN ')) throw new Wrong('it is no PEM file')
  // Half a chain, or half of the authorities, would go unnoticed: what is missing is known to clients only.
  if (/-----(?:BEGIN .*|B?E?G?I?N?\s*$)/.test(text.replaceAll(wholeBlock, '')))
    throw new Wrong('it ends in the middle', 'it is being written, or was cut off')
  return text
}

const wholeBlock = /-----BEGIN ([A-Z0-9 ]+)-----[\s\S]*?-----END \1-----/g

const certificateBlock = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g

function certificates(text: string): X509Certificate[] {
  const blocks = text.match(certificateBlock) ?? []
  if (blocks.length === 0) {
    const isKey = /-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(text)
    throw new Wrong(
      isKey ? 'it holds a private key, and no certificate' : 'there is no certificate in it',
      isKey ? 'are the certificate and the key given the wrong way round?' : undefined,
    )
  }
  return blocks.map((block, index) => {
    try {
      return new X509Certificate(block)
    } catch {
      throw new Wrong(`certificate ${index + 1} in it cannot be read`)
    }
  })
}

/** The listener's own certificate comes first. Of the others, clients may know better ones: they are sent as they are. */
function ownCertificate(text: string, now: number): { readonly own: X509Certificate; readonly text: string } {
  const own = certificates(text)[0]!
  checkTimes(own, now)
  return { own, text }
}

/** While authorities change, old and new ones stand side by side: one that holds is enough. */
function authorities(text: string, now: number): string {
  const all = certificates(text)
  const stranger = all.find(({ ca }) => !ca)
  if (stranger !== undefined)
    throw new Wrong(
      `${nameOf(stranger)} is no authority: it can vouch for nobody`,
      'name the authority that has signed the certificates of the clients, not one of theirs',
    )
  const [first] = all
  if (all.every((one) => !isValid(one, now))) checkTimes(first!, now)
  return text
}

function isValid({ validFrom, validTo }: X509Certificate, now: number): boolean {
  return now >= Date.parse(validFrom) && now <= Date.parse(validTo)
}

function checkTimes(certificate: X509Certificate, now: number): void {
  const from = Date.parse(certificate.validFrom)
  const to = Date.parse(certificate.validTo)
  if (now > to) throw new Wrong(`${nameOf(certificate)} expired at ${new Date(to).toISOString()}`)
  if (now < from)
    throw new Wrong(
      `${nameOf(certificate)} is not valid before ${new Date(from).toISOString()}`,
      'is the clock of this machine right?',
    )
}

function nameOf({ subject }: X509Certificate): string {
  const name = /^CN=(.*)$/m.exec(subject ?? '')?.[1]
  return name === undefined ? 'the certificate' : `the certificate of ${JSON.stringify(name)}`
}

function privateKey(text: string): { readonly privateKey: KeyObject; readonly text: string } {
  if (!/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(text))
    throw new Wrong(
      'there is no private key in it',
      text.includes('-----BEGIN CERTIFICATE-----')
        ? 'are the certificate and the key given the wrong way round?'
        : undefined,
    )
  if (/-----BEGIN ENCRYPTED |Proc-Type: 4,ENCRYPTED/.test(text))
    throw new Wrong(
      'the key is encrypted',
      'give one without a passphrase, in a file that only the router may read',
    )
  try {
    return { privateKey: createPrivateKey(text), text }
  } catch {
    throw new Wrong('its private key cannot be read')
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
