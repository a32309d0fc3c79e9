import { asRouterError, type ErrorCode, RouterError } from '../../http/errors.ts'
import { ConfigError, type ConfigProblem } from '../config/problem.ts'
import { ListenError } from '../runtime/runtime.ts'

/** An error on its way to another process: those that somebody tells apart keep their kind. */
export interface WireError {
  readonly kind: 'router' | 'listen' | 'config' | 'other'
  readonly message: string
  readonly code?: ErrorCode
  readonly param?: string | null
  readonly retryAfter?: number | undefined
  readonly faults?: readonly ConfigProblem[]
  readonly port?: number
}

export function asWireError(error: unknown): WireError {
  const own = asRouterError(error)
  if (own !== undefined) {
    const { code, message, param, retryAfter } = own
    return { kind: 'router', code, message, param, retryAfter }
  }
  if (error instanceof ConfigError) return { kind: 'config', message: error.message, faults: error.faults }
  if (error instanceof ListenError) {
    const { message, port } = error
    return { kind: 'listen', message, port }
  }
  return { kind: 'other', message: error instanceof Error ? (error.stack ?? error.message) : String(error) }
}

export function fromWireError(error: WireError): Error {
  const { kind, message, code, param, retryAfter, faults, port = 0 } = error
  if (kind === 'config') return new ConfigError(faults ?? [])
  if (kind === 'listen') return new ListenError(message, port)
  if (kind === 'other' || code === undefined) return new Error(message)
  return new RouterError(code, message, {
    ...(param == null ? {} : { param }),
    ...(retryAfter === undefined ? {} : { retryAfter }),
  })
}
