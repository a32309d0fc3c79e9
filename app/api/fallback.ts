import { asRouterError, type ErrorCode } from '../../http/errors.ts'
import { withText } from '../../http/json/top-level.ts'
import type { RequestBody } from '../../http/request-body.ts'
import type { Answer } from '../relay/exchange.ts'
import { PlainStream } from '../relay/plain-stream.ts'
import { saysTooLong } from './elsewhere.ts'
import type { ModelNames } from './model-names.ts'

/** Errors after which another model may do better: nobody could take the request, or nobody has answered it. */
const passing: ReadonlySet<ErrorCode> = new Set([
  'model_not_found',
  'no_available_worker',
  'worker_unreachable',
  'bad_worker_response',
  'worker_lost',
  'first_token_timeout',
])

/**
 * Whether the name of the model in a body can be replaced. That of an alias has been replaced already.
 * @param name what the body calls the model
 */
export function canRename(name: unknown, body: RequestBody | undefined, names: ModelNames): boolean {
  if (typeof name !== 'string' || body === undefined) return false
  return names.isAlias(name) || withText(body, 'model', name, name) !== undefined
}

export interface FallbackOptions<Request> {
  readonly first: Request
  /** The models that may answer in its place, in order; not empty. */
  readonly models: readonly string[]
  /** The same request for another model; undefined where it cannot be made. Called only when it is wanted. */
  readonly requestFor: (model: string) => Request | undefined
  readonly ask: (request: Request) => Promise<Answer>
  /** Told before another model is asked. */
  readonly onFallback: (model: string) => void
}

/**
 * The first good answer of these models; the last one's, where none is good. Nothing has been sent to the client yet: a
 * stream that is committed is an answer. A mistake of the client's, or a refusal of what it asks for, is an answer too.
 */
export async function firstGoodAnswer<Request>(options: FallbackOptions<Request>): Promise<Answer> {
  const { first, models, requestFor, ask, onFallback } = options
  let request = first
  for (const model of models) {
    let next: Request | undefined
    try {
      const answer = await ask(request)
      if (!isPassing(answer)) return answer
      next = requestFor(model)
      if (next === undefined) return answer
      if (answer.body instanceof PlainStream) answer.body.abandon()
    } catch (error) {
      const code = asRouterError(error)?.code
      if (code === undefined || !passing.has(code)) throw error
      next = requestFor(model)
      if (next === undefined) throw error
    }
    onFallback(model)
    request = next
  }
  return ask(request)
}

/** The worker's own answer says that it cannot serve the request, or that the prompt does not fit its model. */
function isPassing({ status, reportsError = false, body }: Answer): boolean {
  return status >= 500 || status === 429 || reportsError || (status === 400 && saysTooLong(body))
}
