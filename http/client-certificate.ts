/** Who a client is by the certificate that it has shown, once an authority that the operator names has vouched for it. */
export interface ClientCertificate {
  /** Of the subject; undefined where there is none, or more than one. */
  readonly commonName: string | undefined
  /** Alternative names of the kinds DNS and URI, in the order of the certificate. */
  readonly dnsNames: readonly string[]
  readonly uris: readonly string[]
}

/**
 * Its names as a list of keys writes them: `cn:`, `dns:` or `uri:`, and the name. Names of the kind DNS are the same in
 * capitals (RFC 4343); of all others, each letter counts.
 */
export function certificateNames({ commonName, dnsNames, uris }: ClientCertificate): string[] {
  const names = dnsNames.map((name) => `dns:${name.toLowerCase()}`).concat(uris.map((uri) => `uri:${uri}`))
  if (commonName !== undefined) names.push(`cn:${commonName}`)
  return names
}

/** A certificate as `node:tls` describes it, as far as it is read here. */
export interface PeerCertificate {
  readonly subject?: { readonly CN?: string | readonly string[] | undefined } | undefined
  /** For example `DNS:team-a, URI:spiffe://cluster/team-a`. */
  readonly subjectaltname?: string | undefined
}

/** Undefined where the client has shown none. */
export function clientCertificateOf(peer: PeerCertificate): ClientCertificate | undefined {
  // An empty object stands for none.
  if (peer.subject === undefined && peer.subjectaltname === undefined) return undefined
  const names = alternativeNames(peer.subjectaltname ?? '')
  const commonName = peer.subject?.CN
  return {
    commonName: typeof commonName === 'string' ? commonName : undefined,
    dnsNames: names.filter(({ kind }) => kind === 'DNS').map(({ value }) => value),
    uris: names.filter(({ kind }) => kind === 'URI').map(({ value }) => value),
  }
}

interface AlternativeName {
  readonly kind: string
  readonly value: string
}

/**
 * Values that hold a comma, a quotation mark or a control character are written as JSON strings: whoever had a name made
 * such as `a, DNS:b` must not come by the name `b`. A list that cannot be read whole has no names at all.
 */
function alternativeNames(written: string): AlternativeName[] {
  const names: AlternativeName[] = []
  const one = /([A-Za-z ]+):("(?:[^"\\]|\\.)*"|[^",]*)(?:, |$)/y
  while (one.lastIndex < written.length) {
    const [, kind, value] = one.exec(written) ?? []
    if (kind === undefined || value === undefined) return []
    try {
      names.push({ kind, value: value.startsWith('"') ? (JSON.parse(value) as string) : value })
    } catch {
      return []
    }
  }
  return names
}
