import { asRouterError, type ErrorCode, RouterError } from '../../middleware/errors.ts'
import { ConfigError, type Fault } from '../config/fault.ts'
import { ListenError } from '../runtime/runtime.ts'

/** An error on its way to another process: those that somebody tells apart keep their kind. */
export interface WireError {
  readonly kind: 'router' | 'listen' | 'config' | 'other'
  readonly message: string
  readonly code?: ErrorCode
  readonly param?: string | null
  readonly retryAfter?: number | undefined
  readonly faults?: readonly Fault[]
}

export function asWireError(error: unknown): WireError {
  const own = asRouterError(error)
  if (own !== undefined) {
    const { code, message, param, retryAfter } = own
    return { kind: 'router', code, message, param, retryAfter }
  }
  if (error instanceof ConfigError) return { kind: 'config', message: error.message, faults: error.faults }
  if (error instanceof ListenError) return { kind: 'listen', message: error.message }
  return { kind: 'other', message: error instanceof Error ? (error.stack ?? error.message) : String(error) }
}

export function fromWireError({ kind, message, code, param, retryAfter, faults }: WireError): Error {
  if (kind === 'config') return new ConfigError(faults ?? [])
  if (kind === 'listen') return new ListenError(message)
  if (kind === 'other' || code === undefined) return new Error(message)
  return new RouterError(code, message, {
    ...(param == null ? {} : { param }),
    ...(retryAfter === undefined ? {} : { retryAfter }),
  })
}
