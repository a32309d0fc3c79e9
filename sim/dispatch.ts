/** From a request to its route and back: paths, methods, keys, faults, errors. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Answer } from './answer.ts'
import { ApiError, badRequest, errorBody } from './api-error.ts'
import { engineFailure } from './breakage.ts'
import type { Call, SimContext } from './call.ts'
import { Delivery, type DeliveryContext } from './delivery.ts'
import type { Fault } from './fault.ts'
import { parseFault } from './fault-parser.ts'
import type { Ending } from './ledger.ts'
import type { WriteHead } from './response-head.ts'
import { findRoute, type Route } from './routes/index.ts'

/** What the dispatcher needs beyond what routes see. */
export interface DispatchContext extends SimContext {
  /** Answers in progress; the dispatcher adds and removes. */
  readonly deliveries: Set<Delivery>
  received(req: IncomingMessage, call: Call): void
  readonly writeHead: WriteHead
  die(): void
}

/** Handles one request whose body was read to its end. Never throws. */
export function dispatch(
  sim: DispatchContext,
  req: IncomingMessage,
  res: ServerResponse,
  body: Buffer,
): void {
  const call = callOf(req, body)
  const route = findRoute(call.path)
  if (!route) {
    sendJson(sim, res, 404, '{"detail":"Not Found"}')
    return
  }
  if (!route.methods[call.method]) {
    const allow = ['Allow', Object.keys(route.methods).join(', ')]
    sendJson(sim, res, 405, '{"detail":"Method Not Allowed"}', allow)
    return
  }
  if (!isAuthorized(sim, call)) {
    sendJson(sim, res, 401, '{"error":"Unauthorized"}')
    return
  }
  if (!route.isModelApi) {
    answerService(sim, res, route, call)
    return
  }
  sim.received(req, call)
  sim.ledger.arrive(call.requestId)
  answerCall(sim, res, route, call)
}

function callOf(req: IncomingMessage, body: Buffer): Call {
  const { url = '/', method = 'GET', headers } = req
  const mark = url.indexOf('?')
  const requestId = headers['x-request-id']
  return {
    method,
    path: mark === -1 ? url : url.slice(0, mark),
    query: mark === -1 ? '' : url.slice(mark + 1),
    headers,
    body,
    requestId: typeof requestId === 'string' ? requestId : undefined,
  }
}

/** As in vLLM, a key guards the versioned API only: `/health`, `/metrics` and `/rerank` stay open. */
function isAuthorized({ settings }: SimContext, { path, headers }: Call): boolean {
  if (settings.apiKey === undefined || !/^\/v[12]\//.test(path)) return true
  return headers.authorization === `Bearer ${settings.apiKey}`
}

function answerService(sim: DispatchContext, res: ServerResponse, route: Route, call: Call): void {
  const delayMs = call.path === '/health' ? (sim.faults.strikeKind('slow-health')?.ms ?? 0) : 0
  if (delayMs > 0) setTimeout(() => answerCall(sim, res, route, call), delayMs).unref()
  else answerCall(sim, res, route, call)
}

function answerCall(sim: DispatchContext, res: ServerResponse, route: Route, call: Call): void {
  const settled = (ending: Ending) => {
    if (route.isModelApi) sim.ledger.end(call.requestId, ending)
  }
  try {
    const fault = faultFor(sim, route, call)
    if (fault?.kind === 'status') {
      sendStatus(sim, res, fault)
      settled('faulted')
      return
    }
    const answer = answerOf(sim, route, call)
    if (fault?.kind === 'error-event' && !answer.stream) {
      sendError(sim, res, call, new ApiError(500, 'InternalServerError', fault.message ?? engineFailure))
      settled('faulted')
      return
    }
    deliver(sim, res, answer, fault, settled)
  } catch (error) {
    sendError(sim, res, call, error instanceof ApiError ? error : internalError(error))
    settled('rejected')
  }
}

/** As vLLM answers when its own code fails: one bad request must not end the server. */
function internalError(error: unknown): ApiError {
  return new ApiError(500, 'InternalServerError', error instanceof Error ? error.message : String(error))
}

function answerOf(sim: SimContext, route: Route, call: Call): Answer {
  const handler = route.methods[call.method]
  if (!handler) throw new Error(`no handler for ${call.method} ${call.path}`)
  return handler(sim, call)
}

function faultFor(sim: SimContext, route: Route, call: Call): Fault | undefined {
  const header = call.headers['x-sim-fault']
  if (typeof header === 'string') {
    try {
      const fault = parseFault(header)
      return sim.faults.hits(fault, call.path, true) ? fault : undefined
    } catch (error) {
      throw badRequest(`x-sim-fault: ${error instanceof Error ? error.message : String(error)}`)
    }
  }
  return sim.faults.size === 0 ? undefined : sim.faults.strike(call.path, route.isModelApi)
}

function deliver(
  sim: DispatchContext,
  res: ServerResponse,
  answer: Answer,
  fault: Fault | undefined,
  settled: (ending: Ending) => void,
): void {
  const context: DeliveryContext = {
    engine: sim.engine,
    headersBeforePrefill: sim.settings.headersBeforePrefill,
    writeHead: sim.writeHead,
    settled: (ending) => {
      sim.deliveries.delete(delivery)
      settled(ending)
    },
    die: sim.die,
  }
  const delivery = new Delivery(context, res, answer, fault)
  sim.deliveries.add(delivery)
  try {
    delivery.start()
  } catch (error) {
    sim.deliveries.delete(delivery)
    throw error
  }
}

function sendStatus(
  sim: DispatchContext,
  res: ServerResponse,
  fault: Extract<Fault, { kind: 'status' }>,
): void {
  const { status, retryAfter } = fault
  const extra = retryAfter === undefined ? [] : ['Retry-After', String(retryAfter)]
  const plain = { error: { message: 'Simulated fault', type: 'SimulatedFault', param: null, code: status } }
  const body = typeof fault.body === 'string' ? fault.body : JSON.stringify(fault.body ?? plain)
  sendJson(sim, res, status, body, extra)
}

function sendError(sim: DispatchContext, res: ServerResponse, call: Call, error: ApiError): void {
  sendJson(sim, res, error.status, errorBody(error, call.path))
}

function sendJson(
  sim: DispatchContext,
  res: ServerResponse,
  status: number,
  body: string,
  extra?: string[],
): void {
  sim.writeHead(res, status, 'application/json', Buffer.byteLength(body), extra)
  res.end(body)
}
