import { lookup, resolveSrv } from 'node:dns/promises'
import { dnsName } from '../../config/kinds/dns-name.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { Source } from '../source.ts'
import { poll } from './poll.ts'

/** The questions to the name service. Each rejects when there is no answer, or when the answer is empty. */
export interface Resolver {
  /** IPv4 and IPv6 addresses of a host. */
  addresses(host: string): Promise<readonly string[]>
  services(name: string): Promise<readonly { readonly name: string; readonly port: number }[]>
}

/**
 * Addresses are asked for as every program of the machine asks (search domains, /etc/hosts), so that a short name works
 * as it does with curl. SRV records only the name server knows: their name must be complete.
 */
export const systemResolver: Resolver = {
  addresses: async (host) => (await lookup(host, { all: true })).map(({ address }) => address),
  services: (name) => resolveSrv(name),
}

export interface DnsSourceOptions {
  /** `dns://host:port` or `dns+srv://name`, as `parseDnsName` gives them. */
  readonly name: string
  readonly clock: Clock
  readonly random: () => number
  readonly intervalMs: number
  readonly resolver?: Resolver
}

const timeoutMs = 10_000

/**
 * Each address behind a name is a worker: for headless Services, whose records are their ready pods.
 *
 * An empty answer and "no such name" count as failures, not as "no workers": a name server that has lost its zone says
 * the same, and workers that are really gone fail their probes anyway.
 */
export function dnsSource(options: DnsSourceOptions): Source {
  const { name, clock, random, intervalMs, resolver = systemResolver } = options
  let stop = (): void => {}
  return {
    name,
    start(report) {
      async function look(): Promise<void> {
        try {
          const urls = await resolve(name, resolver)
          report.found(urls.map((url) => ({ url })))
          report.alive()
          report.recovered('resolve')
        } catch (error) {
          report.failed('resolve', (error as { code?: string }).code ?? (error as Error).message)
        }
      }
      const late = () => report.failed('resolve', `no answer within ${timeoutMs / 1000} s`)
      stop = poll({ clock, random, intervalMs, timeoutMs, look, late })
    },
    stop: () => stop(),
  }
}

async function resolve(name: string, resolver: Resolver): Promise<readonly string[]> {
  const asked = dnsName(name)
  const hosts =
    asked.kind === 'service' ? await resolver.services(asked.name) : [{ name: asked.host, port: asked.port }]
  const found = await Promise.all(
    hosts.map(async (host) => {
      const addresses = await resolver.addresses(host.name)
      return addresses.map((address) => workerUrl(address, host.port))
    }),
  )
  // Name servers rotate their answers; an order of our own keeps the pool's.
  const urls = [...new Set(found.flat())].sort()
  if (urls.length === 0) throw new Error('an empty answer')
  return urls
}

function workerUrl(address: string, port: number): string {
  return `http://${address.includes(':') ? `[${address}]` : address}:${port}`
}
