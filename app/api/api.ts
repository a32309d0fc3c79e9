import { type Context, type Handler, Hono, type MiddlewareHandler } from 'hono'
import { cors } from 'hono/cors'
import { RouterError } from '../../http/errors.ts'
import type { HeldBytes } from '../../http/held-bytes.ts'
import { TrustedProxies } from '../../http/trusted-proxies.ts'
import { admission } from '../../middleware/admission.ts'
import { apiKey } from '../../middleware/api-key.ts'
import { decodeBody } from '../../middleware/decode-body.ts'
import type { GatewayEnv } from '../../middleware/gateway-env.ts'
import type { KeyRing } from '../../middleware/key-ring.ts'
import { type RateLimitOptions, rateLimit } from '../../middleware/rate-limit.ts'
import { readBody } from '../../middleware/read-body.ts'
import { refuseWebSocket } from '../../middleware/refuse-websocket.ts'
import { requestId } from '../../middleware/request-id.ts'
import { bodySchemas } from '../../middleware/schemas/index.ts'
import { sequence } from '../../middleware/sequence.ts'
import { strictHeaders } from '../../middleware/strict-headers.ts'
import { type TokenVerifier, tenantKey } from '../../middleware/tenant-key.ts'
import { validateByPath } from '../../middleware/validate.ts'
import type { Admission } from '../../policies/limits/admission-queue.ts'
import { asksForKeys, keyEntries } from '../config/key-entries.ts'
import type { Config } from '../config/settings.ts'
import { adminRoutes } from '../operations/admin.ts'
import { admit, audit } from '../operations/audit.ts'
import type { Lifecycle } from '../operations/lifecycle.ts'
import { probes } from '../operations/operations.ts'
import type { RouterControl } from '../operations/router-control.ts'
import { type GatewayContext, widen } from '../request/context.ts'
import { errorResponse, methodNotAllowed } from '../request/render-error.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Accounting } from '../telemetry/accounting.ts'
import type { Log } from '../telemetry/log.ts'
import { ModelDirectory } from '../workers/model-directory.ts'
import { account } from './account.ts'
import type { Memory } from './call-of.ts'
import { explainFor } from './decision.ts'
import { guardDevelopmentRoutes } from './development-routes.ts'
import { type InferenceOptions, inference } from './inference.ts'
import type { ModelNames } from './model-names.ts'
import { listModels, oneModel } from './models.ts'
import { finishSession } from './session-key.ts'
import { spareConnections } from './spare-connections.ts'
import { type TenantModelsOptions, tenantModels, tenantRoutes } from './tenant-access.ts'
import { type TenantLimitsOptions, tenantLimits } from './tenant-limits.ts'
import { refuseWorkerPages } from './worker-pages.ts'

export interface HttpOptions {
  readonly config: Config
  readonly accounting: Accounting
  readonly lifecycle: Lifecycle
  readonly clock: Clock
  readonly log: Log
  readonly held: HeldBytes
  readonly tenants: TenantLimitsOptions
  readonly queue: Admission
  readonly rate: RateLimitOptions | undefined
  readonly control: RouterControl
  readonly memory: Memory
  readonly names: ModelNames
  /** Undefined: there are no tenants. */
  readonly ring: KeyRing | undefined
  /** Undefined: nobody may show a token. */
  readonly tokens: TokenVerifier | undefined
  readonly madeElsewhere: TenantModelsOptions['madeElsewhere']
  /** Whether all connections that the process may have are in use. */
  readonly full: () => boolean
  readonly inference: Omit<
    InferenceOptions,
    'memory' | 'directory' | 'names' | 'proxies' | 'askUnlisted' | 'ownCors' | 'onProxyPage'
  >
}

/** The HTTP map of the API: middleware in the order in which it runs, then routes, then the one error renderer. */
export function createApi(options: HttpOptions): Hono<GatewayContext> {
  const { config, control, names } = options
  const { workerKey, dropClientKey, relay } = options.inference
  const { pool } = relay
  const directory = new ModelDirectory({
    ...{ pool, client: relay.exchange.client, clock: options.clock },
    headers: workerKey === undefined ? [] : [['authorization', `Bearer ${workerKey}`]],
    onKeyRefused: ({ url, lastError }) =>
      options.log.warn({ worker: url, reason: lastError?.message }, 'worker refuses the key of the router'),
  })
  const proxies = new TrustedProxies(config.trustedProxies, config.trustedProxiesHeader)
  const requestTimeoutMs =
    config.requestTimeoutSecs === undefined ? undefined : config.requestTimeoutSecs * 1000
  const audited = audit({ log: options.log, listener: 'api', proxies })
  // A slash at the end makes no other route.
  const app = new Hono<GatewayContext>({ strict: false })
  const own = config.middleware.map((entry) =>
    typeof entry === 'function' ? { position: 'after' as const, middleware: entry } : entry,
  )
  const placed = (position: 'before' | 'after') => own.filter((entry) => entry.position === position)

  app.use(
    sequence(
      // Cannot fail, and comes before everything that can: error answers carry the id too.
      widen(requestId({ headers: config.requestIdHeaders })),
      // Whatever happens from here on is in the books.
      account({ ...options, proxies, longestMs: requestTimeoutMs, explain: explainFor(config) }),
      widen(strictHeaders()),
    ),
  )
  // Before keys: a browser sends its preflight without them.
  if (config.corsAllowedOrigins.length > 0) app.use(cors({ origin: [...config.corsAllowedOrigins] }))
  // RFC 9110, sections 9.3.6 and 9.3.8: one asks for a tunnel, the other for its own header back, keys included.
  app.on(['CONNECT', 'TRACE'], '*', methodNotAllowed('GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS'))
  // Before keys: kubelets have none.
  app.route('/', probes(control, { addresses: false }))
  // Before admission and bodies, with a key of their own.
  app.route(
    '/',
    adminRoutes({
      control,
      access: [audited, adminAccess(config), admit(true)],
      maxPayloadSize: config.maxPayloadSize,
    }),
  )
  for (const { middleware } of placed('before')) app.use(widen(middleware))
  if (asksForKeys(config)) app.use(widen(clientKeys(options)))
  app.use(
    sequence(
      // Before what tells anything about a route.
      tenantRoutes(),
      guardDevelopmentRoutes(config.adminApiKey, audited),
      widen(refuseWebSocket()),
      ...(config.relayWorkerPages ? [] : [refuseWorkerPages()]),
      // Before admission: a request waits with its body read, so that an upload does not hold a slot.
      widen(
        readBody({
          limit: config.maxPayloadSize,
          held: options.held,
          silenceMs: config.uploadIdleTimeoutSecs * 1000,
        }),
      ),
      widen(decodeBody({ limit: config.maxPayloadSize, held: options.held })),
      // Middleware of the user's may want to read the prompt; the router itself does not.
      widen(validateByPath(bodySchemas, { outline: placed('after').length === 0 })),
    ),
  )
  for (const { middleware } of placed('after')) app.use(widen(middleware))

  app.get('/v1/models', listModels({ pool, directory, names, keysForWorkers: !dropClientKey }))
  app.get('/v1/models/:id{.+}', oneModel(pool, names))
  app.on(['POST', 'PUT', 'PATCH', 'DELETE'], '/v1/models', methodNotAllowed('GET'))
  app.post('/finish_session', finishSession(pool))
  app.all('/finish_session', methodNotAllowed('POST'))
  // After everything that may turn a request away: only what goes to a worker counts against the limits. Those of the
  // tenant come before those of all, and rates before the queue: what exceeds one must not take of the other.
  app.all(
    '*',
    sequence(
      tenantModels({
        ...{ pool, responses: options.memory.responses, madeElsewhere: options.madeElsewhere },
        hasTenants: keyEntries(config) !== undefined,
      }),
      tenantLimits(options.tenants),
      ...(options.rate === undefined ? [] : [widen(rateLimit(options.rate))]),
      spareConnections(options.full),
      widen(admission({ queue: options.queue })),
      inference({
        ...options.inference,
        ...{ directory, names, proxies, memory: options.memory },
        askUnlisted: config.askUnlistedModels,
        ownCors: config.corsAllowedOrigins.length > 0,
        onProxyPage: ({ requestId, workerId }, page) =>
          options.log.debug({ request_id: requestId, worker_id: workerId, page }, 'error page of a proxy'),
      }),
    ),
  )

  app.onError((error, c) => errorResponse(error, c.req.path, c.get('record'), options.log))
  return app
}

/** Who must show a key shows one of a tenant, one of `--router-api-keys`, or a token. */
function clientKeys({ config, ring, tokens }: HttpOptions): MiddlewareHandler<GatewayEnv> {
  if (ring === undefined) return apiKey({ keys: config.routerApiKeys })
  return tenantKey({
    ...{ ring, tokens, keys: config.routerApiKeys },
    // Operators look for whose it was.
    onExpired: (c, { name }) => {
      ;(c as unknown as Context<GatewayContext>).get('record').tenant = name
    },
  })
}

/**
 * On the API listener, admin routes are there with a key only. That it listens on loopback says nothing: a proxy on the
 * same host passes the whole world on.
 */
function adminAccess({ adminApiKey }: Config): Handler<GatewayContext> {
  if (adminApiKey !== undefined) return widen(apiKey({ keys: [adminApiKey], what: 'admin key' }))
  return () => {
    throw new RouterError(
      'forbidden',
      'admin routes are off on this listener: set --admin-api-key, or use the operations listener (--prometheus-port)',
    )
  }
}
