/**
 * A Kubernetes API server over TLS: lists and watches with versions, selectors, bookmarks and tokens, and every way in
 * which a real one fails: lost, doubled and reordered events, watches cut in the middle of a line, 410, 429, 500.
 */

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import type { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FakeCluster, labelSelector, type Selection } from './fake-cluster.ts'
import { FakeWatch, type WatchFaults } from './fake-watch.ts'
import type { KubernetesObject } from './kubernetes-objects.ts'
import { type Random, seeded } from './random.ts'
import type { Scope } from './scope.ts'
import { portOf } from './sockets.ts'

export interface FakeKubernetesOptions {
  readonly t: Scope
  /** Of the faults, default 1. */
  readonly seed?: number
  /** Milliseconds between bookmarks, default 60000. */
  readonly bookmarkMs?: number
}

/** How often a request is answered so, 0 to 1. */
export interface ApiFaults extends WatchFaults {
  readonly status410: number
  readonly status429: number
  readonly status500: number
}

export interface ApiRequest {
  /** performance.now() */
  readonly at: number
  readonly path: string
  readonly query: URLSearchParams
  readonly token: string | undefined
  /** Undefined until it is answered. */
  status?: number
}

export interface FakeKubernetes {
  readonly port: number
  readonly url: string
  /** A directory with `token` and `ca.crt`. */
  readonly credentials: string
  readonly cluster: FakeCluster
  readonly requests: readonly ApiRequest[]
  /** Lists and watches so far that were answered with 200. */
  readonly lists: readonly ApiRequest[]
  readonly watches: readonly ApiRequest[]
  /** Watches that are open now. */
  readonly open: number
  /** From now on; none are left. */
  fail(faults: Partial<ApiFaults>): void
  /** From now on only a new token is good; it is written to the directory after that. */
  rotateToken(): Promise<void>
  /** Ends every watch in the orderly way. */
  endWatches(): void
  /** What a request gets instead of an answer, or undefined. */
  intercept: ((request: ApiRequest, response: ServerResponse) => boolean) | undefined
}

const certificates = new URL('certificates/', import.meta.url)
const noFaults: ApiFaults = {
  lose: 0,
  duplicate: 0,
  reorder: 0,
  cut: 0,
  expire: 0,
  status410: 0,
  status429: 0,
  status500: 0,
}

export async function startFakeKubernetes(options: FakeKubernetesOptions): Promise<FakeKubernetes> {
  const credentials = await mkdtemp(join(tmpdir(), 'service-account-'))
  options.t.after(() => rm(credentials, { recursive: true, force: true }))
  const [key, cert, ca] = await Promise.all(
    ['server.key', 'server.crt', 'ca.crt'].map((file) => readFile(new URL(file, certificates))),
  )
  await writeFile(join(credentials, 'ca.crt'), ca ?? '')
  const api = new ApiServer(credentials, options)
  await api.rotateToken()
  const server = createServer({ key, cert }, (request, response) => api.handle(request, response))
  // Those that are still shaking hands are no HTTP connections yet, and would be forgotten otherwise.
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  api.port = portOf(server)
  options.t.after(() => {
    api.endWatches()
    // Its callback is not waited for: with a router that keeps coming back, Bun does not always call it.
    server.close()
    server.closeAllConnections()
    for (const socket of sockets) socket.destroy()
  })
  return api
}

class ApiServer implements FakeKubernetes {
  port = 0
  readonly credentials: string
  readonly cluster = new FakeCluster()
  readonly requests: ApiRequest[] = []
  intercept: FakeKubernetes['intercept']
  readonly #random: Random
  readonly #bookmarkMs: number
  readonly #open = new Set<FakeWatch>()
  #faults = noFaults
  #token = ''
  #tokens = 0

  constructor(credentials: string, { seed = 1, bookmarkMs = 60_000 }: FakeKubernetesOptions) {
    this.credentials = credentials
    this.#random = seeded(seed)
    this.#bookmarkMs = bookmarkMs
  }

  get url(): string {
    return `https://127.0.0.1:${this.port}`
  }

  get lists(): readonly ApiRequest[] {
    return this.requests.filter(({ query, status }) => !query.has('watch') && status === 200)
  }

  get watches(): readonly ApiRequest[] {
    return this.requests.filter(({ query, status }) => query.has('watch') && status === 200)
  }

  get open(): number {
    return this.#open.size
  }

  fail(faults: Partial<ApiFaults>): void {
    this.#faults = { ...noFaults, ...faults }
  }

  async rotateToken(): Promise<void> {
    this.#tokens += 1
    this.#token = `token-${this.#tokens}`
    // A mounted token ends with a line break when somebody has put it there by hand.
    await writeFile(join(this.credentials, 'token'), `${this.#token}\n`)
  }

  endWatches(): void {
    for (const watch of this.#open) watch.end()
  }

  handle(message: IncomingMessage, response: ServerResponse): void {
    const { pathname, searchParams } = new URL(message.url ?? '/', this.url)
    const token = /^Bearer (\S+)$/.exec(message.headers.authorization ?? '')?.[1]
    const request: ApiRequest = { at: performance.now(), path: pathname, query: searchParams, token }
    this.requests.push(request)
    if (this.intercept?.(request, response) === true) return
    const refusal = this.#refusal(request)
    request.status = refusal?.code ?? 200
    if (refusal !== undefined) {
      this.#refuse(response, refusal)
      return
    }
    const selection = selectionOf(pathname, searchParams)
    if (searchParams.has('watch')) this.#watch(searchParams, selection, response)
    else this.#list(selection, response)
  }

  #refusal({ path, query, token }: ApiRequest): Refusal | undefined {
    if (token !== this.#token) return { code: 401, reason: 'Unauthorized', message: 'Unauthorized' }
    if (kindOf(path) === undefined)
      return { code: 404, reason: 'NotFound', message: 'the server could not find it' }
    const { status410, status429, status500 } = this.#faults
    const drawn = this.#random()
    if (drawn < status410) return expired
    if (drawn < status410 + status429)
      return { code: 429, reason: 'TooManyRequests', message: 'slow down', retryAfter: 1 }
    if (drawn < status410 + status429 + status500)
      return { code: 500, reason: 'InternalError', message: 'etcdserver: request timed out' }
    if (Number(query.get('resourceVersion') ?? 0) > this.cluster.version && !query.has('watch'))
      return { code: 504, reason: 'Timeout', message: 'Too large resource version' }
    return undefined
  }

  #list(selection: Selection, response: ServerResponse): void {
    const items = this.cluster.list(selection)
    const metadata = { resourceVersion: String(this.cluster.version) }
    sendJson(response, 200, { kind: `${selection.kind}List`, metadata, items })
  }

  #watch(query: URLSearchParams, selection: Selection, response: ServerResponse): void {
    const from = Number(query.get('resourceVersion'))
    response.writeHead(200, { 'content-type': 'application/json' })
    response.flushHeaders()
    const watch = new FakeWatch(response, {
      cluster: this.cluster,
      selection,
      from,
      random: this.#random,
      faults: () => this.#faults,
      bookmarkMs: query.get('allowWatchBookmarks') === 'true' ? this.#bookmarkMs : undefined,
      timeoutMs: Number(query.get('timeoutSeconds') ?? 1800) * 1000,
    })
    this.#open.add(watch)
    response.on('close', () => {
      watch.closed()
      this.#open.delete(watch)
    })
    watch.start()
  }

  #refuse(response: ServerResponse, { code, reason, message, retryAfter }: Refusal): void {
    const body = { kind: 'Status', apiVersion: 'v1', status: 'Failure', message, reason, code }
    const headers = retryAfter === undefined ? {} : { 'retry-after': String(retryAfter) }
    sendJson(response, code, body, headers)
  }
}

interface Refusal {
  readonly code: number
  readonly reason: string
  readonly message: string
  /** Seconds. */
  readonly retryAfter?: number
}

const expired: Refusal = { code: 410, reason: 'Expired', message: 'too old resource version' }

const paths: Readonly<Record<string, KubernetesObject['kind']>> = {
  '/api/v1/pods': 'Pod',
  '/apis/discovery.k8s.io/v1/endpointslices': 'EndpointSlice',
}

function kindOf(path: string): KubernetesObject['kind'] | undefined {
  return paths[path.replace(/\/namespaces\/[^/]+/, '')]
}

function selectionOf(path: string, query: URLSearchParams): Selection {
  return {
    kind: kindOf(path) ?? 'Pod',
    namespace: /\/namespaces\/([^/]+)/.exec(path)?.[1],
    labels: labelSelector(query.get('labelSelector') ?? ''),
  }
}

function sendJson(
  response: ServerResponse,
  status: number,
  body: object,
  headers: Readonly<Record<string, string>> = {},
): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers })
  response.end(JSON.stringify(body))
}
