import type { RouterError } from '../../http/errors.ts'
import type { JsonObject } from '../../http/json/json.ts'
import { promptChain } from '../../http/prompt-chain.ts'
import type { RequestBody } from '../../http/request-body.ts'
import { laxBoolean } from '../../middleware/schemas/lax-boolean.ts'
import type { Config } from '../config/settings.ts'
import { keyFields } from '../relay/headers.ts'
import { nobodyAvailable, notAtHome } from '../relay/nobody-available.ts'
import { RequestKind } from '../relay/request-kind.ts'
import type { CandidateView, ChoiceView, DryRun, DryRunRequest } from '../request/dry-run.ts'
import type { Pool } from '../workers/pool.ts'
import { isClaimable, type Preview } from '../workers/preview.ts'
import type { Worker } from '../workers/worker.ts'
import { renamed } from './call-of.ts'
import { developmentKind } from './development-routes.ts'
import { canRename } from './fallback.ts'
import { impliedModel } from './implied-model.ts'
import type { ModelNames } from './model-names.ts'
import { policyNameOf } from './policy-name.ts'
import type { ResponseState } from './response-state.ts'
import { sessionKey, sessionSource } from './session-key.ts'

export interface DryRouteOptions {
  readonly config: Config
  readonly pool: Pool
  readonly names: ModelNames
  readonly responses: ResponseState
  /** Somebody may yet turn out to be available. */
  readonly isStarting: () => boolean
}

export interface DryRouteRequest extends Pick<DryRunRequest, 'headers'> {
  /** With the query, and without. */
  readonly path: string
  readonly route: string
  readonly body: RequestBody
  readonly payload: JsonObject | undefined
}

type Found = Pick<DryRun, 'candidates' | 'passed_over' | 'choice'>

/** What a dry run finds out by itself, the limits apart. */
export interface DryRoute extends Found {
  readonly model: DryRun['model']
  readonly stream: boolean
  readonly session: string | null
  readonly prefix_blocks: number | null
  readonly policy?: string
  readonly notes: readonly string[]
  /** The request would wait until everybody has been probed once. */
  readonly waits: boolean
  /** Nobody can take it. */
  readonly fault: RouterError | undefined
}

/** @throws RouterError where the request names its model in a way that cannot be followed */
export function dryRoute(request: DryRouteRequest, options: DryRouteOptions): DryRoute {
  const { pool, names, responses } = options
  const { route, body, payload } = request
  const named = payload?.model
  const asked = typeof named === 'string' && named !== '' ? named : impliedModel(pool, 'POST', route)
  const responseId = responses.idIn(route, payload)
  const isStateful = responseId !== undefined || developmentKind(route) === 'changing'
  const fallbacks =
    typeof named === 'string' && !isStateful && canRename(named, body, names) ? names.fallbacks(named) : []
  const home = responseId === undefined ? undefined : responses.whoHas(responseId)
  const notes: string[] = []
  if (responseId !== undefined && home === undefined)
    notes.push('Nobody is known to have this response: one worker after the other is asked for it.')
  let found = aim(asked, { ...request, asked, home }, options)
  for (const other of fallbacks) {
    if (found.fault === undefined) break
    notes.push(
      `Nobody can take it for ${JSON.stringify(found.model)}: ${JSON.stringify(other)} would be asked instead.`,
    )
    found = aim(other, { ...request, asked, home }, options)
  }
  const { model, listed, notes: more, ...rest } = found
  return {
    ...rest,
    model: { asked: asked ?? null, resolved: model ?? null, listed, fallbacks },
    stream: laxBoolean(payload?.stream) === true,
    session: sessionSource(request, payload) ?? null,
    notes: [...notes, ...more],
  }
}

/** What comes of it for one model. */
interface Aim extends Omit<DryRoute, 'model' | 'stream' | 'session'> {
  readonly model: string | undefined
  readonly listed: boolean
}

interface AimRequest extends DryRouteRequest {
  readonly asked: string | undefined
  readonly home: Worker | undefined
}

function aim(name: string | undefined, request: AimRequest, options: DryRouteOptions): Aim {
  const { pool, names, config, isStarting } = options
  const { asked, body, payload, home } = request
  const model = name === undefined ? undefined : names.nextTarget(name, pool)
  const sent = model === asked || model === undefined ? body : renamed(body, payload?.model, model)
  const known = model !== undefined && pool.serves(model) ? model : undefined
  const notes: string[] = []
  const isUnheardOf = model !== undefined && known === undefined && !pool.mayServe(model)
  if (isUnheardOf) notes.push('No worker lists the model: all would be asked for their lists again first.')
  const { prompt, ...read } = whatPolicyReads(request, sent, known, pool)
  const kind = new RequestKind({
    ...{ model: isUnheardOf && config.askUnlistedModels ? undefined : model, path: request.path, body: sent },
    ...{ stream: laxBoolean(payload?.stream) === true, headers: clientHeaders(request, config), prompt },
    ...read,
  })
  const policy = policyNameOf(config, known)
  const found = home === undefined ? foundIn(pool.preview(kind), pool) : atHome(home)
  const isAlone = found.candidates.length === 0
  const waits = isAlone && home === undefined && isStarting()
  if (waits) notes.push('Not every worker has been probed: the request waits for that, for 3 s at most.')
  if (!isAlone && found.choice === null)
    notes.push(`The policy ${policy} has no preview: which of the candidates it would choose is not known.`)
  const nobody = () => (home === undefined ? nobodyAvailable(pool, kind.model) : notAtHome())
  return {
    ...{ ...found, model, listed: known !== undefined, policy, notes, waits },
    prefix_blocks: prompt?.blocks.length ?? null,
    fault: isAlone && !waits ? nobody() : undefined,
  }
}

function whatPolicyReads(
  { headers, payload }: DryRouteRequest,
  body: RequestBody,
  known: string | undefined,
  { policy: { reads } }: Pool,
) {
  return {
    session: reads?.session === true ? sessionKey({ headers }, payload) : undefined,
    prompt: reads?.prompt === true && payload !== undefined ? promptChain(body, known) : undefined,
  }
}

/** With a key for administrators, the one that was sent is theirs. */
function clientHeaders({ headers }: DryRouteRequest, { adminApiKey }: Config) {
  return adminApiKey === undefined ? headers : headers.filter(([name]) => !keyFields.has(name.toLowerCase()))
}

function foundIn(
  { candidates, passedOver, worker, why = 'custom', rank }: Preview,
  { workers }: Pool,
): Found {
  const idOf = (url: string) => workers.find((one) => one.url === url)?.id ?? ''
  return {
    candidates: candidates.map(candidateView),
    passed_over: passedOver.map(({ worker: url, reason }) => ({ id: idOf(url), worker: url, reason })),
    choice: worker === undefined ? null : choiceView(worker, why, rank),
  }
}

function atHome(home: Worker): Found {
  const isAble = isClaimable(home)
  const reason = home.unavailable(undefined) ?? 'unavailable'
  return {
    candidates: isAble ? [candidateView(home)] : [],
    passed_over: isAble ? [] : [{ id: home.id, worker: home.url, reason }],
    choice: isAble ? choiceView(home, 'stored_response') : null,
  }
}

function candidateView({ id, url, inFlight }: Worker): CandidateView {
  return { id, worker: url, in_flight: inFlight }
}

function choiceView(worker: Worker, why: string, rank?: number): ChoiceView {
  return { ...candidateView(worker), why, rank: rank ?? null, breaker: worker.breakerState.name }
}
