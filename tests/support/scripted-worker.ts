/**
 * A vLLM worker made of a bare socket: healthy unless a script says otherwise, and able to fail at any byte.
 * It records what reached it and when each connection ended, so that a test can say who closed what, and how fast.
 */

import { createServer, type Server, type Socket } from 'node:net'
import { type Answer, type AnswerOptions, answerFor, canStream } from './answers.ts'
import type { Fault } from './fault.ts'
import { acceptConnection, type Chooser, type RecordedConnection, type RecordedRequest } from './recorder.ts'
import type { Scope } from './scope.ts'
import { closedPort, listening, portOf, resetSocket } from './sockets.ts'
import { answer, type HeaderFields, type Script, stream } from './wire.ts'

export type { Chooser, RecordedConnection, RecordedRequest } from './recorder.ts'

/** What a worker does with a request: steps, a choice by request (undefined: the healthy answer), or a fault. */
export type Behaviour = Script | Chooser | Fault

export interface ScriptedWorkerOptions {
  /** Default 0: a free one. */
  readonly port?: number
  readonly host?: string
  /** The one model of `/v1/models`. Default `test-model`. */
  readonly model?: string
  /** Tokens of a healthy answer, default 5. */
  readonly tokens?: number
  /** Milliseconds between two events of a healthy stream, default 0. */
  readonly tokenMs?: number
  /** Added to every healthy answer. Default: `x-worker-id: scripted`. */
  readonly headers?: HeaderFields
  /** Lets the behaviour strike health, models and metrics routes too. Default false. */
  readonly everyRoute?: boolean
  /** Text of `/metrics`, default none: 404. */
  readonly metrics?: () => string
  /** Runs instead of reading a request, as soon as a connection is open. */
  readonly onConnection?: (connection: RecordedConnection) => Script | undefined
  /** Runs as soon as the head of a request is there, before its body is. */
  readonly atHead?: Chooser
  /** Idle connections are closed after that many milliseconds, as uvicorn does after 5000. Default: never. */
  readonly keepAliveMs?: number
  /** A test context: the worker is closed when the test ends. */
  readonly t?: Scope
}

export interface ScriptedWorker {
  readonly port: number
  readonly url: string
  /** In the order of their opening. */
  readonly connections: readonly RecordedConnection[]
  /** Requests other than probes, in the order of their arrival. */
  readonly requests: readonly RecordedRequest[]
  /** Requests for /health, /v1/models, /metrics and the like: every GET. */
  readonly probes: readonly RecordedRequest[]
  /** Completed responses to `requests` by x-request-id ('' when a request had none). */
  readonly completed: ReadonlyMap<string, number>
  /** The `count`th request (1 is the first) when it is there, body included. */
  received(count?: number): Promise<RecordedRequest>
  /** Changes what the worker does with requests from now on; undefined makes it healthy. */
  use(behaviour: Behaviour | undefined): void
  /** Changes one route, for example `route('GET /health', answer(503))`; undefined takes that back. */
  route(line: string, behaviour: Script | Chooser | undefined): void
  /** The steps of the healthy answer to a request, for scripts that begin well. */
  healthy(request: RecordedRequest): Script
  /** The events and the body of the healthy answer to a request. */
  answerTo(request: RecordedRequest): Answer
  /** As a killed process: resets every connection and refuses new ones. The port stays known, see `reopen`. */
  crash(): Promise<void>
  /** Listens again on the same port. */
  reopen(): Promise<void>
  close(): Promise<void>
}

const defaults = { host: '127.0.0.1', model: 'test-model', tokens: 5, tokenMs: 0 }

export async function startScriptedWorker(
  behaviour?: Behaviour,
  options: ScriptedWorkerOptions = {},
): Promise<ScriptedWorker> {
  const worker = new SocketWorker(behaviour, options)
  if (behaviour !== undefined && 'refuses' in behaviour && behaviour.refuses) await worker.refuse()
  else await worker.listen(options.port ?? 0)
  options.t?.after(() => worker.close())
  return worker
}

class SocketWorker implements ScriptedWorker {
  port = 0
  readonly connections: RecordedConnection[] = []
  readonly requests: RecordedRequest[] = []
  readonly probes: RecordedRequest[] = []
  readonly completed = new Map<string, number>()
  readonly #options: ScriptedWorkerOptions & typeof defaults
  readonly #routes = new Map<string, Script | Chooser>()
  readonly #sockets = new Set<Socket>()
  #arrivals: { count: number; resolve: (request: RecordedRequest) => void }[] = []
  #behaviour: Behaviour | undefined
  #server: Server | undefined
  #release: (() => Promise<void>) | undefined

  constructor(behaviour: Behaviour | undefined, options: ScriptedWorkerOptions) {
    this.#behaviour = behaviour
    this.#options = { ...defaults, ...options }
  }

  get url(): string {
    return `http://${this.#options.host}:${this.port}`
  }

  async refuse(): Promise<void> {
    const held = await closedPort()
    this.port = held.port
    this.#release = held.release
  }

  async listen(port: number): Promise<void> {
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => this.#accept(socket))
    await listening(server, port, this.#options.host)
    this.port = portOf(server)
    this.#server = server
  }

  async reopen(): Promise<void> {
    if (this.#server === undefined) await this.listen(this.port)
    await this.#release?.()
    this.#release = undefined
  }

  async crash(): Promise<void> {
    const server = this.#server
    this.#server = undefined
    const closed = new Promise<void>((resolve) => (server ? server.close(() => resolve()) : resolve()))
    for (const socket of this.#sockets) resetSocket(socket)
    await closed
  }

  async close(): Promise<void> {
    await Promise.all([this.crash(), this.#release?.()])
    this.#release = undefined
  }

  received(count = 1): Promise<RecordedRequest> {
    const there = this.requests[count - 1]
    if (there?.completeAt !== undefined) return Promise.resolve(there)
    return new Promise((resolve) => this.#arrivals.push({ count, resolve }))
  }

  use(behaviour: Behaviour | undefined): void {
    this.#behaviour = behaviour
  }

  route(line: string, behaviour: Script | Chooser | undefined): void {
    if (behaviour === undefined) this.#routes.delete(line)
    else this.#routes.set(line, behaviour)
  }

  answerTo(request: RecordedRequest): Answer {
    const { model, tokens } = this.#options
    return answerFor(request.path, answerOptions(request, model, tokens))
  }

  healthy(request: RecordedRequest): Script {
    const { headers = { 'x-worker-id': 'scripted' }, tokenMs } = this.#options
    if (request.method === 'GET' || request.method === 'HEAD') return this.#healthyGet(request, headers)
    const { json, prelude, tokens, finish } = this.answerTo(request)
    return request.stream
      ? stream([...prelude, ...tokens, ...finish], headers, tokenMs)
      : answer(200, json, headers)
  }

  #healthyGet({ path }: RecordedRequest, headers: HeaderFields): Script {
    const { model, metrics } = this.#options
    if (path === '/health') return answer(200, '', headers)
    if (path === '/v1/models') {
      const card = { id: model, object: 'model', created: 1_700_000_000, owned_by: 'vllm', root: model }
      return answer(200, JSON.stringify({ object: 'list', data: [card] }), headers)
    }
    if (path === '/metrics' && metrics !== undefined) {
      return answer(200, metrics(), { ...headers, 'content-type': 'text/plain; version=0.0.4' })
    }
    return answer(404, JSON.stringify({ detail: 'Not Found' }), headers)
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket)
    socket.on('close', () => this.#sockets.delete(socket))
    const connection = acceptConnection(socket, {
      index: this.connections.length,
      keepAliveMs: this.#options.keepAliveMs,
      onConnection: this.#options.onConnection,
      atHead: this.#options.atHead,
      onHead: (request) => (isProbe(request) ? this.probes : this.requests).push(request),
      onRequest: (request) => this.#arrived(request),
      choose: (request, on) => this.#choose(request, on),
      onCompleted: (request) => this.#completed(request),
    })
    this.connections.push(connection)
  }

  #arrived(request: RecordedRequest): void {
    const count = this.requests.indexOf(request) + 1
    const arrived = this.#arrivals.filter((arrival) => arrival.count === count)
    this.#arrivals = this.#arrivals.filter((arrival) => arrival.count !== count)
    for (const { resolve } of arrived) resolve(request)
  }

  #completed(request: RecordedRequest): void {
    if (isProbe(request)) return
    const id = request.header('x-request-id') ?? ''
    this.completed.set(id, (this.completed.get(id) ?? 0) + 1)
  }

  #choose(request: RecordedRequest, connection: RecordedConnection): Script {
    const strikes = !isProbe(request) || this.#options.everyRoute === true
    const behaviour =
      this.#routes.get(`${request.method} ${request.path}`) ?? (strikes ? this.#behaviour : undefined)
    if (behaviour === undefined) return this.healthy(request)
    if (typeof behaviour === 'function') return behaviour(request, connection) ?? this.healthy(request)
    if ('script' in behaviour) return behaviour.script(request, this) ?? this.healthy(request)
    return behaviour
  }
}

/** Chooses by the order of arrival: the first request gets the first script, the last one stays for all that follow. */
export function inTurn(...scripts: readonly (Script | undefined)[]): Chooser {
  let next = 0
  return () => scripts[Math.min(next++, scripts.length - 1)]
}

function isProbe(request: RecordedRequest): boolean {
  return request.method === 'GET' || request.method === 'HEAD'
}

function answerOptions(request: RecordedRequest, model: string, tokens: number): AnswerOptions {
  const body = request.json() as { model?: unknown; stream_options?: { include_usage?: unknown } } | undefined
  return {
    model: typeof body?.model === 'string' ? body.model : model,
    id: request.header('x-request-id') ?? String(request.index),
    tokens,
    usage: canStream(request.path) && body?.stream_options?.include_usage === true,
  }
}
