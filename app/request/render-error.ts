import type { Handler } from 'hono'
import type { HTTPException } from 'hono/http-exception'
import { asRouterError, dialectOf, RouterError, renderError } from '../../http/errors.ts'
import type { RequestRecord } from './request-record.ts'

/** Where an error that nobody expected is written. */
export interface ErrorLog {
  error(fields: object, message: string): void
}

/** Every error, expected or not, becomes its answer here. */
export function errorResponse(
  error: unknown,
  path: string,
  record?: RequestRecord,
  log?: ErrorLog,
): Response {
  const known = asRouterError(error)
  if (known === undefined) {
    // Hono's own middleware throws its answer: it is one, and no fault of the router.
    if (isHttpException(error)) return error.getResponse()
    log?.error({ err: error, request_id: record?.requestId }, 'unexpected error')
  }
  const fault = known ?? new RouterError('internal_error', 'the router failed to handle this request')
  if (record !== undefined) {
    record.errorCode = fault.code
    record.errorMessage = fault.message
  }
  const response = renderError(fault, dialectOf(path))
  for (const [name, value] of record?.answerFields ?? []) response.headers.set(name, value)
  if (record?.explain !== undefined) response.headers.set(...record.explain(record))
  return response
}

/** By shape, as Hono does it: a user's middleware may have another copy of Hono. */
function isHttpException(error: unknown): error is HTTPException {
  return error instanceof Error && 'getResponse' in error && typeof error.getResponse === 'function'
}

/** For the methods that a route of the router's own does not have. */
export function methodNotAllowed(allowed: string): Handler {
  return (c) => {
    const message = `${c.req.method} is not allowed here, only ${allowed}`
    throw new RouterError('method_not_allowed', message, { allow: allowed })
  }
}
