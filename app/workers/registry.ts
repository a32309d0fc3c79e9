import { RouterError } from '../../http/errors.ts'
import { canonicalUrl, parseWorkerUrl } from '../config/kinds/worker-url.ts'
import { workerUrlAllowed } from '../config/kinds/worker-url-allow.ts'
import type { HttpClient, TlsFiles } from '../upstream/http-client.ts'
import type { Pool } from './pool.ts'
import type { Prober } from './prober.ts'
import type { Member } from './source.ts'
import type { Worker } from './worker.ts'

export interface WorkerRegistryOptions {
  readonly pool: Pool
  readonly prober: Prober
  /** Patterns that URLs added at run time must match; none allows any host. */
  readonly allow: readonly string[]
  readonly events: RegistryEvents
  /** Called when a source says that a worker has TLS files of its own, other ones than before, or none any more. */
  readonly setTls?: HttpClient['setTls']
  /** Called after each change that an operator has made. */
  readonly onOperatorChange?: (() => void) | undefined
}

/** All changes of operators that are still in force: enough to repeat them in another process. */
export interface OperatorChanges {
  /** URLs of workers that they have added. */
  readonly added: readonly string[]
  /** What sources name and operators have taken out. */
  readonly dismissed: readonly { readonly source: string; readonly url: string; readonly identity?: string }[]
  /** URLs of workers that they have set draining. */
  readonly drained: readonly string[]
}

export interface RegistryEvents {
  drainingChanged(worker: Worker): void
  /** A source names a worker that `allow` does not. Told once for as long as the source names it. */
  refused(source: string, url: string): void
}

/** The source whose workers the configuration lists; it is not asked whether it may. */
export const staticWorkers = 'static'
/** The source of what operators add while the router runs. */
const operators = 'operator'

/** One source's word about one address. */
interface Claim extends Member {
  /** An operator has taken the worker out; that holds until the source drops it, or finds another at its address. */
  readonly dismissed: boolean
  readonly refused: boolean
}

interface Entry {
  readonly worker: Worker
  /** An operator has set it draining. */
  drained: boolean
  /** The files of its own. */
  tls: TlsFiles | undefined
}

/**
 * Membership: who is in the pool, and who is probed. Workers have sources, each of which answers for its own; a worker is
 * in the pool as long as one of them names it.
 */
export class WorkerRegistry {
  readonly pool: Pool
  readonly #prober: Prober
  /** Patterns for URLs that are named from now on. */
  allow: readonly string[]
  readonly #events: RegistryEvents
  readonly #setTls: HttpClient['setTls']
  readonly #onOperatorChange: () => void
  /** Addresses to be drained as soon as a source names them. */
  #drainedAhead = new Set<string>()
  /** By source, then by address. */
  readonly #claims = new Map<string, ReadonlyMap<string, Claim>>()
  /** By address: two spellings of a URL are one worker. */
  readonly #entries = new Map<string, Entry>()

  constructor({ pool, prober, allow, events, setTls, onOperatorChange }: WorkerRegistryOptions) {
    this.pool = pool
    this.#prober = prober
    this.allow = allow
    this.#events = events
    this.#setTls = setTls ?? (() => {})
    this.#onOperatorChange = onOperatorChange ?? (() => {})
  }

  /** Replaces the whole set of one source. Its members are checked URLs. */
  assign(source: string, members: readonly Member[]): void {
    const before = this.#claims.get(source) ?? new Map<string, Claim>()
    const after = new Map<string, Claim>()
    for (const member of members) {
      const address = canonicalUrl(member.url)
      after.set(address, this.#claim(source, member, before.get(address)))
    }
    this.#claims.set(source, after)
    for (const [address, { identity }] of before) {
      const now = after.get(address)
      // The one that was there is gone, although its address lives on in another.
      if (now !== undefined && now.identity !== identity) this.#remove(address)
    }
    this.#settle(new Set([...before.keys(), ...after.keys()]))
  }

  /**
   * A worker added while running.
   * @throws RouterError invalid_request when the URL is wrong, not allowed, or there already
   */
  add(written: string): Worker {
    const parsed = parseWorkerUrl(written)
    if (!('value' in parsed)) {
      throw invalid(`not a worker URL${parsed.hint === undefined ? '' : `: ${parsed.hint}`}`)
    }
    const url = parsed.value
    if (!workerUrlAllowed(url, this.allow))
      throw new RouterError('forbidden', 'this host is not in --worker-url-allow', { param: 'url' })
    const address = canonicalUrl(url)
    if (this.#entries.has(address)) throw invalid('this worker is registered already')
    for (const source of this.#claims.keys()) this.#mark(source, address, false)
    const own = new Map(this.#claims.get(operators))
    this.#claims.set(operators, own.set(address, { url, dismissed: false, refused: false }))
    this.#settle([address])
    this.#onOperatorChange()
    return this.#entries.get(address)!.worker
  }

  /** Undoes an operator's addition. The worker stays if a source lists it as well. */
  withdraw(worker: Worker): void {
    const address = this.#addressOf(worker)
    if (address === undefined) return
    this.#disown(address)
    this.#settle([address])
    this.#onOperatorChange()
  }

  /** The worker gets nothing more and finishes what it has, whatever the sources say. */
  remove(worker: Worker): void {
    const address = this.#addressOf(worker)
    if (address === undefined) return
    this.#disown(address)
    for (const source of this.#claims.keys()) this.#mark(source, address, true)
    this.#settle([address])
    this.#onOperatorChange()
  }

  /** An operator's word; a worker that its source has draining stays so. */
  drain(worker: Worker, draining: boolean): void {
    const address = this.#addressOf(worker)
    const entry = address === undefined ? undefined : this.#entries.get(address)
    if (address === undefined || entry === undefined) return
    entry.drained = draining
    this.#settle([address])
    this.#onOperatorChange()
  }

  operatorChanges(): OperatorChanges {
    const word = { added: [] as string[], dismissed: [] as OperatorChanges['dismissed'][number][] }
    for (const [source, claims] of this.#claims) {
      for (const { url, identity, dismissed } of claims.values()) {
        if (source === operators) word.added.push(url)
        else if (dismissed)
          word.dismissed.push({ source, url, ...(identity === undefined ? {} : { identity }) })
      }
    }
    const drained = [...this.#entries.values()].filter((entry) => entry.drained)
    return { ...word, drained: drained.map(({ worker }) => worker.url) }
  }

  /** Makes what operators have said to another process hold here, in place of what they said here. */
  applyOperatorChanges({ added, dismissed, drained }: OperatorChanges): void {
    const before = this.#claims.get(operators) ?? new Map<string, Claim>()
    const own = added.map((url) => [canonicalUrl(url), { url, dismissed: false, refused: false }] as const)
    this.#claims.set(operators, new Map(own))
    for (const [source, claims] of this.#claims) {
      for (const address of claims.keys()) if (source !== operators) this.#mark(source, address, false)
    }
    for (const { source, url, ...identity } of dismissed) {
      // A claim that the source here has not made yet: it will find itself dismissed.
      const claims = new Map(this.#claims.get(source))
      const claim = claims.get(canonicalUrl(url)) ?? { url, ...identity, dismissed: true, refused: false }
      const same = claim.identity === identity.identity
      this.#claims.set(source, claims.set(canonicalUrl(url), { ...claim, dismissed: same }))
    }
    const drains = new Set(drained.map(canonicalUrl))
    for (const [address, entry] of this.#entries) entry.drained = drains.delete(address)
    this.#drainedAhead = drains
    const named = [...this.#claims.values()].flatMap((claims) => [...claims.keys()])
    this.#settle(new Set([...before.keys(), ...named]))
  }

  /** By id, or by URL in any spelling. */
  find(idOrUrl: string): Worker | undefined {
    if (!URL.canParse(idOrUrl)) return this.pool.withId(idOrUrl)
    return this.#entries.get(canonicalUrl(idOrUrl))?.worker
  }

  /** How many workers of the pool each source names. */
  counts(): ReadonlyMap<string, number> {
    return new Map(
      [...this.#claims].map(([source, claims]) => [source, [...claims.values()].filter(counts).length]),
    )
  }

  #claim(source: string, member: Member, before: Claim | undefined): Claim {
    const known = before?.identity === member.identity ? before : undefined
    const refused = source !== staticWorkers && !workerUrlAllowed(member.url, this.allow)
    if (refused && before?.refused !== true) this.#events.refused(source, member.url)
    return { ...member, refused, dismissed: known?.dismissed ?? false }
  }

  /** Brings the pool in line with what the sources say about these addresses. */
  #settle(addresses: Iterable<string>): void {
    for (const address of addresses) {
      const claims = [...this.#claims.values()].flatMap((all) => all.get(address) ?? []).filter(counts)
      if (claims[0] === undefined) {
        this.#remove(address)
        continue
      }
      const entry = this.#entries.get(address) ?? this.#enter(address, claims[0].url)
      this.#protect(entry, claims.find(({ tls }) => tls !== undefined)?.tls)
      const weight = claims.find((claim) => claim.weight !== undefined)?.weight ?? 1
      if (entry.worker.weight !== weight) entry.worker.weight = weight
      const draining = entry.drained || claims.some((claim) => claim.draining === true)
      if (entry.worker.draining === draining) continue
      entry.worker.draining = draining
      this.#events.drainingChanged(entry.worker)
    }
    this.#prober.follow(this.pool)
  }

  #enter(address: string, url: string): Entry {
    const entry = { worker: this.pool.add(url), drained: this.#drainedAhead.delete(address), tls: undefined }
    this.#entries.set(address, entry)
    return entry
  }

  #protect(entry: Entry, tls: TlsFiles | undefined): void {
    const { tls: before } = entry
    if (isSame(before, tls)) return
    entry.tls = tls
    // Workers of one origin, behind unlike paths, share its connections.
    const { origin } = entry.worker
    const others = [...this.#entries.values()].filter(({ worker }) => worker.origin === origin)
    this.#setTls(origin, tls ?? others.find((other) => other.tls !== undefined)?.tls)
  }

  #remove(address: string): void {
    const entry = this.#entries.get(address)
    if (entry === undefined) return
    this.#entries.delete(address)
    this.#protect(entry, undefined)
    this.pool.remove(entry.worker)
  }

  #disown(address: string): void {
    const own = new Map(this.#claims.get(operators))
    if (own.delete(address)) this.#claims.set(operators, own)
  }

  #mark(source: string, address: string, dismissed: boolean): void {
    const claims = new Map(this.#claims.get(source))
    const claim = claims.get(address)
    if (claim !== undefined) this.#claims.set(source, claims.set(address, { ...claim, dismissed }))
  }

  /** Undefined when the worker is in the pool no more. */
  #addressOf(worker: Worker): string | undefined {
    const address = canonicalUrl(worker.url)
    return this.#entries.get(address)?.worker === worker ? address : undefined
  }
}

function isSame(a: TlsFiles | undefined, b: TlsFiles | undefined): boolean {
  return a?.ca === b?.ca && a?.cert === b?.cert && a?.key === b?.key && a?.serverName === b?.serverName
}

function counts({ dismissed, refused }: Claim): boolean {
  return !dismissed && !refused
}

function invalid(message: string): RouterError {
  return new RouterError('invalid_request', message, { param: 'url' })
}
