import type { Parsed } from './kind.ts'

/** A name whose addresses are workers. */
export type DnsName =
  | { readonly kind: 'address'; readonly host: string; readonly port: number }
  | { readonly kind: 'service'; readonly name: string }

const label = '[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?'
const hostName = new RegExp(`^${label}(\\.${label})*\\.?$`, 'i')

/**
 * Reads an entry of `--worker-dns`: `dns://host:port` (or `host:port`) for the addresses of a host, `dns+srv://name` for
 * the hosts and ports of SRV records.
 */
export function parseDnsName(written: string): Parsed<string> {
  const [scheme = 'dns', rest = written] = /^([a-z][a-z0-9+.-]*):\/\/(.*)$/i.exec(written)?.slice(1) ?? []
  if (/^https?$/i.test(scheme)) return { hint: `write dns://${rest}; a single address goes to --worker-urls` }
  if (/^dns\+srv$/i.test(scheme)) {
    return hostName.test(rest)
      ? { value: `dns+srv://${rest.toLowerCase()}` }
      : { hint: 'dns+srv:// is followed by the name of SRV records alone: their port counts' }
  }
  if (!/^dns$/i.test(scheme)) return { hint: undefined }
  const [, host = '', port] = /^(.*?)(?::(\d{1,5}))?$/.exec(rest) ?? []
  if (!hostName.test(host)) return { hint: 'it is not a host name with a port' }
  if (port === undefined) return { hint: 'the port of the workers is missing: dns://host:8000' }
  if (Number(port) < 1 || Number(port) > 65_535) return { hint: 'its port is not between 1 and 65535' }
  return { value: `dns://${host.toLowerCase()}:${Number(port)}` }
}

/** @param value what `parseDnsName` gave */
export function dnsName(value: string): DnsName {
  const { protocol, hostname, port } = new URL(value)
  return protocol === 'dns+srv:'
    ? { kind: 'service', name: hostname }
    : { kind: 'address', host: hostname, port: Number(port) }
}
