import { type Handler, Hono, type MiddlewareHandler } from 'hono'
import { cors } from 'hono/cors'
import type { HTTPException } from 'hono/http-exception'
import { admission } from '../middleware/admission.ts'
import type { AdmissionQueue } from '../middleware/admission-queue.ts'
import { apiKey } from '../middleware/api-key.ts'
import { asRouterError, dialectOf, RouterError, renderError } from '../middleware/errors.ts'
import type { GatewayEnv } from '../middleware/gateway-env.ts'
import { readBody } from '../middleware/read-body.ts'
import { requestId } from '../middleware/request-id.ts'
import { bodySchemas } from '../middleware/schemas/index.ts'
import { strictHeaders } from '../middleware/strict-headers.ts'
import { validate } from '../middleware/validate.ts'
import { adminRoutes } from './admin.ts'
import type { Clock } from './clock.ts'
import type { Config } from './config/settings.ts'
import { isDevelopmentRoute } from './development-routes.ts'
import type { Lifecycle } from './lifecycle.ts'
import { probes } from './operations.ts'
import { type InferenceOptions, inference } from './routes/inference.ts'
import { listModels, oneModel } from './routes/models.ts'
import type { Connection } from './runtime/runtime.ts'
import type { Accounting } from './telemetry/accounting.ts'
import type { Log } from './telemetry/log.ts'
import type { RequestRecord } from './telemetry/request-record.ts'
import type { WorkerControl } from './workers/control.ts'

export interface GatewayContext {
  Bindings: GatewayEnv['Bindings'] & { readonly incoming: Connection }
  Variables: GatewayEnv['Variables'] & { record: RequestRecord }
}

export interface HttpOptions {
  readonly config: Config
  readonly accounting: Accounting
  readonly lifecycle: Lifecycle
  readonly clock: Clock
  readonly log: Log
  readonly queue: AdmissionQueue
  readonly control: WorkerControl
  readonly inference: InferenceOptions
}

/** Patterns that become the `route` label; everything else is `other`. */
const knownRoutes = new Set([
  ...Object.keys(bodySchemas),
  '/v1/audio/transcriptions',
  '/v1/audio/translations',
  '/v1/models',
  '/health',
  '/liveness',
  '/readiness',
])

/** The HTTP map of the API: middleware in the order in which it runs, then routes, then the one error renderer. */
export function createApi(options: HttpOptions): Hono<GatewayContext> {
  const { config, control } = options
  const { pool } = control.registry
  const app = new Hono<GatewayContext>()
  const own = config.middleware.map((entry) =>
    typeof entry === 'function' ? { position: 'after' as const, middleware: entry } : entry,
  )
  const placed = (position: 'before' | 'after') => own.filter((entry) => entry.position === position)

  // First: whatever happens from here on is in the books.
  app.use(account(options))
  // Before anything that can fail: error answers carry the id too.
  app.use(widen(requestId({ headers: config.requestIdHeaders })))
  app.use(noteRequestId)
  // Before keys: a browser sends its preflight without them.
  if (config.corsAllowedOrigins.length > 0) app.use(cors({ origin: [...config.corsAllowedOrigins] }))
  app.use(widen(strictHeaders()))
  // Before keys: kubelets have none.
  app.route('/', probes({ pool, lifecycle: options.lifecycle }))
  // Before admission and bodies, with a key of their own.
  app.route('/', adminRoutes({ control, access: adminAccess(config) }))
  for (const { middleware } of placed('before')) app.use(widen(middleware))
  if (config.routerApiKeys.length > 0) app.use(widen(apiKey({ keys: config.routerApiKeys })))
  app.use(guardDevelopmentRoutes(config))
  // Before admission: a request waits with its body read, so that an upload does not hold a slot.
  app.use(widen(readBody({ limit: config.maxPayloadSize })))
  for (const [path, schema] of Object.entries(bodySchemas)) {
    app.post(path, widen(validate({ schema })))
  }
  for (const { middleware } of placed('after')) app.use(widen(middleware))

  app.get('/v1/models', listModels(pool))
  app.get('/v1/models/:id{.+}', oneModel(pool))
  app.on(['POST', 'PUT', 'PATCH', 'DELETE'], '/v1/models', methodNotAllowed('GET'))
  // After everything that may turn a request away: only what goes to a worker counts against the cap.
  app.all('*', widen(admission({ queue: options.queue })), inference(options.inference))

  app.onError((error, c) => renderFault(error, c.req.path, c.get('record'), options.log))
  return app
}

/** Opens the books on a request, and closes them where the answer is not still streaming. */
function account({ accounting, lifecycle, clock, config }: HttpOptions): MiddlewareHandler<GatewayContext> {
  const longestMs = config.requestTimeoutSecs === undefined ? undefined : config.requestTimeoutSecs * 1000

  /** The client's own limit or the router's, whichever is shorter; the time in the queue is part of it. */
  function setDeadline(record: RequestRecord, wanted: string | undefined): void {
    // Anything but a number is no limit: the header is a wish, and not worth an error.
    const clientMs =
      wanted !== undefined && /^\d{1,12}$/.test(wanted) ? Math.max(1, Number(wanted)) : undefined
    if (clientMs === undefined && longestMs === undefined) return
    const ms = Math.min(clientMs ?? Number.POSITIVE_INFINITY, longestMs ?? Number.POSITIVE_INFINITY)
    record.deadline = record.startedAt + ms
    record.onEnd(clock.after(ms, () => record.stop.because('request_timeout')))
  }

  return async function account(c, next) {
    const { incoming } = c.env
    const path = c.req.path
    const record = accounting.open(c.req.method, path)
    if (knownRoutes.has(path)) record.route = path
    c.set('record', record)
    c.set('onEnd', (listener) => record.onEnd(listener))
    c.set('stopSignal', () => record.stop.signal)
    setDeadline(record, incoming.header('x-request-timeout-ms'))
    incoming.onGone(() => record.stop.because('client_closed'))
    if (lifecycle.refusing) {
      c.res = renderFault(
        new RouterError('draining', 'the router is shutting down', { retryAfter: 1 }),
        path,
        record,
      )
    } else {
      await next()
    }
    record.status = record.errorCode === 'client_closed' ? 499 : c.res.status
    if (!record.live) record.end(record.errorCode ?? 'completed')
  }
}

/** Hono's types are invariant in the environment; ours has everything that the middleware's has, and more. */
export function widen(handler: MiddlewareHandler<GatewayEnv>): MiddlewareHandler<GatewayContext> {
  return handler as unknown as MiddlewareHandler<GatewayContext>
}

const noteRequestId: MiddlewareHandler<GatewayContext> = (c, next) => {
  c.get('record').requestId = c.get('requestId')
  return next()
}

/** Routes by which a client could put a worker to sleep or change its weights need the admin's key. */
function guardDevelopmentRoutes({ adminApiKey }: Config): MiddlewareHandler<GatewayContext> {
  const check =
    adminApiKey === undefined
      ? undefined
      : widen(apiKey({ keys: [adminApiKey], header: 'x-admin-api-key', what: 'admin key' }))
  return (c, next) => {
    if (!isDevelopmentRoute(c.req.path)) return next()
    if (check !== undefined) return check(c, next)
    throw new RouterError(
      'forbidden',
      'this route changes the worker: it needs the admin key, and none is set (--admin-api-key)',
    )
  }
}

/** On the API listener, admin routes are open on loopback or with a key. */
function adminAccess({ adminApiKey, host }: Config): Handler<GatewayContext> | undefined {
  if (adminApiKey !== undefined) return widen(apiKey({ keys: [adminApiKey], what: 'admin key' }))
  if (host === '127.0.0.1' || host === '::1' || host === 'localhost') return undefined
  return () => {
    throw new RouterError(
      'forbidden',
      'admin routes are off on this address: set --admin-api-key, or use the operations listener',
    )
  }
}

export function methodNotAllowed(allowed: string): Handler {
  return (c) => {
    const message = `${c.req.method} is not allowed here, only ${allowed}`
    throw new RouterError('method_not_allowed', message, { allow: allowed })
  }
}

/** Every error, expected or not, becomes its answer here. */
export function renderFault(error: unknown, path: string, record?: RequestRecord, log?: Log): Response {
  const known = asRouterError(error)
  if (known === undefined) {
    // Hono's own middleware throws its answer: it is one, and no fault of the router.
    if (isHttpException(error)) return error.getResponse()
    log?.error({ err: error, request_id: record?.requestId }, 'unexpected error')
  }
  const fault = known ?? new RouterError('internal_error', 'the router failed to handle this request')
  if (record !== undefined) record.errorCode = fault.code
  return renderError(fault, dialectOf(path))
}

/** By shape, as Hono does it: a user's middleware may have another copy of Hono. */
function isHttpException(error: unknown): error is HTTPException {
  return error instanceof Error && 'getResponse' in error && typeof error.getResponse === 'function'
}
