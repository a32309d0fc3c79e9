import type { PromptChain, SelectionRequest } from '../../policies/selection/policy.ts'
import type { PassedOver } from '../request/request-view.ts'
import type { LeasedRequest } from './lease.ts'
import { contextOf } from './model-list.ts'
import { soonest } from './stand-back.ts'
import type { Worker } from './worker.ts'

/** What is asked of the pool. */
export interface PoolRequest extends LeasedRequest {
  readonly model: string | undefined
  /** Of its body. */
  readonly bytes?: number
  /** More of the body may be images or sound than text. */
  readonly hasMedia?: boolean
  /** The beginning of its prompt, for a policy that reads prompts. */
  readonly prompt?: PromptChain | undefined
  /** What its client calls its session, for a policy that reads that. */
  readonly session?: string | undefined
}

/** Which workers come into question for a further attempt. */
export interface Among {
  /** Not these. */
  readonly tried?: ReadonlySet<Worker> | undefined
  /** Not those that refuse work now. */
  readonly withRoom?: boolean
}

/** Those among whom the policy chooses, and what it may know of the request. */
export interface Choice {
  readonly candidates: readonly Worker[]
  readonly request: SelectionRequest
  /** It holds until a worker reports a change. */
  readonly lasting: boolean
  /** Those that were no candidates, with why. */
  readonly passedOver: readonly PassedOver[]
  /** Tokens of the shortest context among the candidates, where not all have the same; Infinity otherwise. */
  readonly shortest: number
}

const nobody: ReadonlySet<Worker> = new Set()

export interface LookOptions {
  readonly request: PoolRequest
  readonly among: Among | undefined
  /** The request's model, where it is certain that a worker has it. */
  readonly known: string | undefined
  /** The pool is so ill that workers whose probes are merely silent are better than none. */
  readonly panic: boolean
}

/**
 * Looks at every worker, and takes the best of these that there are:
 * - sound ones;
 * - half-open ones that this request would be a poor trial for: one that has failed elsewhere would fail on one sick
 *   worker after the other, and one like those that opened the breaker proves nothing;
 * - those that have been quiet for too long;
 * - those that refuse work because they are busy;
 * - for the first attempt, the only one there is, although its breaker forbids it: a breaker protects as long as
 *   there are others, and a worker's own answer is better than none.
 */
export function look(workers: readonly Worker[], { request, among, known, panic }: LookOptions): Choice {
  const { model } = request
  const { tried = nobody, withRoom = false } = among ?? {}
  const again = among !== undefined
  const ready: Worker[] = []
  const poorTrials: Worker[] = []
  const quiet: Worker[] = []
  const busy: Worker[] = []
  const forbidden: Worker[] = []
  const passedOver: PassedOver[] = []
  let lasting = !again
  for (const worker of workers) {
    const reason = worker.unavailable(model, panic)
    if (reason === 'breaker_open' || reason === 'full') lasting = false
    if (reason === 'breaker_open') forbidden.push(worker)
    if (reason !== undefined || tried.has(worker)) {
      passedOver.push({ worker: worker.url, reason: reason ?? 'tried' })
      continue
    }
    const { lastChoice } = worker
    if (!worker.steady) lasting = false
    if (lastChoice === 'busy') busy.push(worker)
    else if (lastChoice === 'no_sign_of_life') quiet.push(worker)
    else if (isPoorTrial(worker, request, again)) poorTrials.push(worker)
    else ready.push(worker)
  }
  const order = [ready, poorTrials, quiet]
  if (!withRoom) order.push(soonest(busy))
  if (!again && forbidden.length === 1) order.push(forbidden)
  const candidates = order.find(({ length }) => length > 0) ?? []
  for (const [list, reason] of [
    [busy, 'busy'],
    [quiet, 'no_sign_of_life'],
    [poorTrials, 'half_open'],
  ] as const)
    for (const worker of list)
      if (!candidates.includes(worker)) passedOver.push({ worker: worker.url, reason })
  const shortest = shortestOf(candidates, known)
  return { candidates, request: { model: known, again }, lasting, passedOver, shortest }
}

/** Bytes of a token at most, on the mean of any prompt: what has more tokens than that says surely does not fit. */
const mostBytesPerToken = 8

/**
 * Those of the candidates into whose context the request may fit; all of them where it fits into none: the worker has the
 * last word. For fleets in which workers of one model have unlike contexts.
 */
export function fitting(
  candidates: readonly Worker[],
  { shortest, request }: Choice,
  asked: PoolRequest,
): readonly Worker[] {
  const tokens = (asked.bytes ?? 0) / mostBytesPerToken
  if (tokens <= shortest || asked.hasMedia === true) return candidates
  const { model = '' } = request
  const fits = candidates.filter((worker) => (contextOf(worker, model) ?? Number.POSITIVE_INFINITY) >= tokens)
  return fits.length > 0 ? fits : candidates
}

function shortestOf(candidates: readonly Worker[], model: string | undefined): number {
  if (model === undefined) return Number.POSITIVE_INFINITY
  let shortest = Number.POSITIVE_INFINITY
  let longest = 0
  for (const worker of candidates) {
    const tokens = contextOf(worker, model) ?? Number.POSITIVE_INFINITY
    if (tokens < shortest) shortest = tokens
    if (tokens > longest) longest = tokens
  }
  return shortest < longest ? shortest : Number.POSITIVE_INFINITY
}

/** What the policy is told beyond what holds for all requests for a model. */
export function withPrompt(
  choice: SelectionRequest,
  { stream, prompt, session }: PoolRequest,
): SelectionRequest {
  return { ...choice, stream, prompt, session }
}

function isPoorTrial({ breaker, breakerState }: Worker, request: PoolRequest, again: boolean): boolean {
  if (breaker === undefined || breakerState.name === 'closed') return false
  return again || breaker.poorTrial(request.kind())
}
