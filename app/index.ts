/** What the package exports: a router for programs, and the types for middleware and policies of one's own. */

export { type ErrorCode, RouterError } from '../http/errors.ts'
export type { RequestBody } from '../http/request-body.ts'
export type { Tenant } from '../http/tenant.ts'
export type { GatewayEnv } from '../middleware/gateway-env.ts'
export type {
  Candidate,
  SelectionContext,
  SelectionPolicy,
  SelectionRequest,
} from '../policies/selection/policy.ts'
export type { MiddlewareEntry } from './config/extensions.ts'
export { ConfigError } from './config/problem.ts'
export type { ConfigInput } from './config/settings.ts'
export { createGateway, type Gateway, type GatewayParts } from './gateway/gateway.ts'
export type { Clock } from './runtime/clock.ts'
