/** An answer in vLLM's error shape, thrown by routes and rendered in one place. */
export class ApiError extends Error {
  readonly status: number
  readonly type: string
  readonly param: string | null

  constructor(status: number, type: string, message: string, param: string | null = null) {
    super(message)
    this.status = status
    this.type = type
    this.param = param
  }
}

/** 400 in the words that vLLM uses. `param` names the field at fault. */
export function badRequest(message: string, param: string | null = null): ApiError {
  return new ApiError(400, 'BadRequestError', message, param)
}

/** 404 for something that is addressed by an id or a name. */
export function notFound(message: string, param: string | null): ApiError {
  return new ApiError(404, 'NotFoundError', message, param)
}

/** vLLM's error body; `/v1/messages` has Anthropic's. */
export function errorBody(error: ApiError, path: string): string {
  const { message, type, param, status } = error
  return path.startsWith('/v1/messages')
    ? JSON.stringify({ type: 'error', error: { type, message } })
    : JSON.stringify({ error: { message, type, param, code: status } })
}
