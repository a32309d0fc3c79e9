import { asRouterError, type ErrorCode } from '../../http/errors.ts'
import type { Answer } from '../relay/exchange.ts'
import { PlainStream } from '../relay/plain-stream.ts'
import { saysTooLong } from './elsewhere.ts'

/** Errors after which another model may do better: nobody could take the request, or nobody has answered it. */
const passing: ReadonlySet<ErrorCode> = new Set([
  'model_not_found',
  'no_available_worker',
  'worker_unreachable',
  'bad_worker_response',
  'worker_lost',
  'first_token_timeout',
])

export interface FallbackOptions {
  /** The models that may answer in place of the first one, in order; not empty. */
  readonly models: readonly string[]
  /** Asks for an answer of the model that was asked for, or of that one. */
  readonly ask: (model?: string) => Promise<Answer>
  /** Told before another model is asked. */
  readonly onFallback: (model: string) => void
}

/**
 * The first good answer of these models; the last one's, where none is good. Nothing has been sent to the client yet: a
 * stream that is committed is an answer. A mistake of the client's, or a refusal of what it asks for, is an answer too.
 */
export async function firstGoodAnswer({ models, ask, onFallback }: FallbackOptions): Promise<Answer> {
  let model: string | undefined
  for (const next of models) {
    try {
      const answer = await ask(model)
      if (!isPassing(answer)) return answer
      if (answer.body instanceof PlainStream) answer.body.abandon()
    } catch (error) {
      const code = asRouterError(error)?.code
      if (code === undefined || !passing.has(code)) throw error
    }
    onFallback(next)
    model = next
  }
  return ask(model)
}

/** The worker's own answer says that it cannot serve the request, or that the prompt does not fit its model. */
function isPassing({ status, reportsError = false, body }: Answer): boolean {
  return status >= 500 || status === 429 || reportsError || (status === 400 && saysTooLong(body))
}
