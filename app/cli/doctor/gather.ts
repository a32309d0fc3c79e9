import { lookup } from 'node:dns/promises'
import { readListenerTls } from '../../config/listener-tls.ts'
import { ConfigError } from '../../config/problem.ts'
import type { Config } from '../../config/settings.ts'
import { readWorkerTls } from '../../config/worker-tls.ts'
import type { ConfigView } from '../../operations/router-control.ts'
import { claimPort } from '../../runtime/claim-port.ts'
import { systemClock } from '../../runtime/clock.ts'
import { detectRuntime } from '../../runtime/detect.ts'
import type { HeaderFields, HttpClient } from '../../upstream/http-client.ts'
import { connectionLimit } from '../../upstream/open-files.ts'
import { type AskResult, ask } from '../../workers/ask.ts'
import { type CreateDiscoveryOptions, createDiscovery } from '../../workers/discovery/index.ts'
import type { Member } from '../../workers/source.ts'
import { type RouterFetch, routerFetch } from '../router-fetch.ts'
import { addressOf, NoAnswer, Refused, RunningRouter } from '../running-router.ts'
import type { Facts, Finding, PortFacts, RouterFacts, WorkerFacts } from './facts.ts'

export interface GatherOptions {
  readonly config: Config
  readonly env: Facts['env']
  readonly version: string
  /** Of the router that is asked; default: the one that the settings name. */
  readonly url: string | undefined
  readonly fetch: RouterFetch
}

/** Milliseconds for each answer. */
const answerMs = 5000
/** Milliseconds for whoever has a port that we want: it is here. */
const nearMs = 2000
/** Milliseconds in which a source must name its workers. */
const sourceMs = 5000

/** Asks everybody once, side by side. */
export async function gatherFacts(options: GatherOptions): Promise<Facts> {
  const { config, env, version, url } = options
  const [router, sources] = await Promise.all([routerFacts(options), namedWorkers(options)])
  const urls = [
    ...new Set([...sources.members.map((member) => member.url), ...router.workers.map((one) => one.url)]),
  ]
  const [workers, ports] = await Promise.all([
    workerFacts(config, urls, sources.members),
    url === undefined ? Promise.all(listenersOf(config).map(portFacts)) : undefined,
  ])
  return {
    ...{ config, env, version, ports, router, workers },
    versions: process.versions,
    connectionLimit: connectionLimit(),
    certificates: certificatesOf(config),
    sourceFaults: sources.faults,
  }
}

function certificatesOf(config: Config): Facts['certificates'] {
  const shown = { '--tls-cert-file': 'api', '--prometheus-tls-cert-file': 'operations' } as const
  return Object.entries(shown).flatMap(([about, listener]) => {
    const tls = readListenerTls(config, listener)
    return tls === undefined ? [] : [{ about, expiresAt: tls.expiresAt }]
  })
}

async function routerFacts({ config, url, fetch }: GatherOptions): Promise<RouterFacts> {
  const router = new RunningRouter({ url, config, timeoutMs: answerMs, fetch })
  const nothing = { url: router.url, workers: [], config: undefined, metrics: undefined, refused: undefined }
  try {
    const metrics = await router.get('/metrics')
    try {
      const workers = await router.workers()
      const view = await router.ask<ConfigView>('GET', '/config')
      return { ...nothing, silent: undefined, workers, config: view, metrics }
    } catch (error) {
      if (!(error instanceof Refused)) throw error
      return {
        ...nothing,
        silent: undefined,
        metrics,
        refused: { status: error.status, message: error.message },
      }
    }
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error)
    return { ...nothing, silent: error instanceof NoAnswer ? error.why : said }
  }
}

/** Asks every source that the configuration names, as the router does at its start. */
async function namedWorkers({ config, env }: GatherOptions) {
  const members = new Map<string, readonly Member[]>()
  const faults: Finding[] = []
  const failed = new Set<string>()
  const settled = Promise.withResolvers<void>()
  const options: CreateDiscoveryOptions = {
    ...{ config, env, clock: systemClock, random: Math.random },
    registry: { assign: (source, found) => void members.set(source, found) },
    events: {
      sourceFailed(source, activity, reason, first) {
        const problem = `${activity}: ${reason}`
        if (first) faults.push({ about: `source ${source}`, problem, remedy: sourceRemedy(source) })
        failed.add(source)
      },
      sourceRecovered() {},
    },
  }
  try {
    const discovery = createDiscovery(options)
    discovery.start()
    const all = discovery.status().length
    const look = setInterval(() => {
      if (new Set([...members.keys(), ...failed]).size >= all) settled.resolve()
    }, 20)
    const late = setTimeout(settled.resolve, sourceMs)
    await settled.promise
    clearInterval(look)
    clearTimeout(late)
    discovery.stop()
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    for (const { name, problem, hint = '' } of error.faults)
      faults.push({ about: name, problem, remedy: hint })
  }
  return { members: [...members.values()].flat(), faults }
}

function sourceRemedy(source: string): string {
  if (source.startsWith('file'))
    return '--worker-urls-file must name a file with a list of workers that can be read'
  if (source.startsWith('dns'))
    return '--worker-dns must be a name that DNS knows here, with the port of the workers'
  return 'the API of Kubernetes must be reached from here, and its rights let the router list pods or endpoints'
}

function listenersOf(config: Config) {
  const { host, port, prometheusHost, prometheusPort } = config
  return [
    { flag: 'port', host, port, shown: config.tlsCertFile },
    {
      flag: 'prometheus-port',
      host: prometheusHost,
      port: prometheusPort,
      shown: config.prometheusTlsCertFile,
    },
  ] as const
}

async function portFacts(listener: ReturnType<typeof listenersOf>[number]): Promise<PortFacts> {
  const { flag, host, port, shown } = listener
  const address = `${host.includes(':') ? `[${host}]` : host}:${port}`
  try {
    await claimPort(host, port)
    return { flag, address, fault: undefined, isRouter: false }
  } catch (error) {
    const fault = (error as Error).message.replace(/^cannot listen on \S+: /, '')
    return {
      flag,
      address,
      fault,
      isRouter: await isRouter(addressOf(host, port, shown !== undefined), shown),
    }
  }
}

/** Readiness says how many workers there are on both listeners of a router, and nowhere else. */
async function isRouter(url: string, shown: string | undefined): Promise<boolean> {
  const reached = routerFetch({ own: {}, shown })
  if ('faults' in reached) return false
  try {
    const response = await reached.fetch(`${url}/readiness`, { signal: AbortSignal.timeout(nearMs) })
    return (
      typeof (JSON.parse(await response.text()) as { total_workers?: unknown }).total_workers === 'number'
    )
  } catch {
    return false
  }
}

/** Asks over the router's own client: what it meets, the router meets. */
async function workerFacts(
  config: Config,
  urls: readonly string[],
  members: readonly Member[],
): Promise<WorkerFacts[]> {
  const { createClient } = await detectRuntime()
  const client = createClient({
    connectTimeoutMs: config.connectTimeoutMs,
    idleSocketMs: answerMs,
    maxHeadBytes: 64 * 1024,
    tls: readWorkerTls(config),
  })
  for (const { url, tls } of members) if (tls !== undefined) client.setTls(new URL(url).origin, tls)
  try {
    return await Promise.all(urls.map((url) => workerFact(client, url, config)))
  } finally {
    await client.close()
  }
}

async function workerFact(client: HttpClient, url: string, config: Config): Promise<WorkerFacts> {
  const { origin, pathname, hostname } = new URL(url)
  const headers: HeaderFields =
    config.apiKey === undefined ? [] : [['authorization', `Bearer ${config.apiKey}`]]
  const worker = { origin, pathPrefix: pathname.replace(/\/$/, '') }
  const get = (path: string): Promise<AskResult> =>
    ask(worker, path, { client, clock: systemClock, timeoutMs: answerMs, headers })
  const sentAt = Date.now()
  const health = await get(config.healthCheckEndpoint)
  const receivedAt = Date.now()
  // Whoever does not answer at all need not be waited for again.
  const more = 'failed' in health ? async () => health : get
  const [models, metrics, version, addresses] = await Promise.all([
    more('/v1/models'),
    more('/metrics'),
    more('/version'),
    addressesOf(hostname),
  ])
  return { url, addresses, health, models, metrics, version, clock: clockOf(health, sentAt, receivedAt) }
}

/** The header Date counts whole seconds, rounded down. */
function clockOf(answer: AskResult, sentAt: number, receivedAt: number): WorkerFacts['clock'] {
  if ('failed' in answer) return undefined
  const date = answer.headers.find(([name]) => name.toLowerCase() === 'date')?.[1]
  const told = Date.parse(date ?? '')
  if (Number.isNaN(told)) return undefined
  return { aheadMs: told + 500 - (sentAt + receivedAt) / 2, doubtMs: 500 + (receivedAt - sentAt) / 2 }
}

async function addressesOf(hostname: string): Promise<readonly string[]> {
  try {
    const found = await lookup(hostname.replace(/^\[(.*)\]$/, '$1'), { all: true })
    return found.map(({ address }) => address)
  } catch {
    return []
  }
}
