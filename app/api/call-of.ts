import type { Context } from 'hono'
import { choicesIn } from '../../http/choices.ts'
import { dialectOf, RouterError } from '../../http/errors.ts'
import { plainAddress } from '../../http/forwarded.ts'
import type { Incoming } from '../../http/incoming.ts'
import { withText } from '../../http/json/top-level.ts'
import { standingOf } from '../../http/priority.ts'
import { promptChain } from '../../http/prompt-chain.ts'
import type { RequestBody } from '../../http/request-body.ts'
import type { TrustedProxies } from '../../http/trusted-proxies.ts'
import { laxBoolean } from '../../middleware/schemas/lax-boolean.ts'
import type { Call, StreamFacts } from '../relay/call.ts'
import type { Forwarding } from '../relay/forwarding.ts'
import { firstHeader, requestHeaders } from '../relay/headers.ts'
import { LongHold } from '../relay/long-hold.ts'
import { RequestKind } from '../relay/request-kind.ts'
import type { GatewayContext } from '../request/context.ts'
import type { RequestRecord } from '../request/request-record.ts'
import type { Pool } from '../workers/pool.ts'
import { elsewhere } from './elsewhere.ts'
import { EngineIds } from './engine-ids.ts'
import { withPriority } from './engine-priority.ts'
import { formField } from './form-field.ts'
import { impliedModel } from './implied-model.ts'
import type { InferenceOptions } from './inference.ts'
import { ResponseState } from './response-state.ts'
import { pathAndQuery } from './sent-path.ts'
import { sessionKey } from './session-key.ts'

/** Routes whose streams end with a marker: without it, a clean end is a broken stream all the same. */
const markedStreams = new Set([
  '/v1/chat/completions',
  '/v1/completions',
  '/v1/responses',
  '/v1/messages',
  '/inference/v1/generate',
  '/cohere/v2/chat',
])

/** What is known of the requests before. */
export interface Memory {
  readonly engineIds: EngineIds
  readonly responses: ResponseState
}

export function createMemory(pool: Pool): Memory {
  return { engineIds: new EngineIds(), responses: new ResponseState(pool) }
}

/**
 * What the relay needs of a client's request: what is sent to a worker, and what a worker is chosen by.
 * @param as the model that is to answer in place of the one that the client has named
 */
export function callOf(
  c: Context<GatewayContext>,
  options: InferenceOptions,
  memory: Memory,
  as?: string,
): NamedCall {
  const { relay, workerKey, dropClientKey } = options
  const { pool } = relay
  const { reads } = pool.policy
  const { incoming } = c.env
  const record = c.get('record')
  const payload = c.get('payload')
  const { model: named, stream } = payload === undefined ? formFields(incoming, c.get('body')) : payload
  const asked =
    typeof named === 'string' && named !== '' ? named : impliedModel(pool, c.req.method, c.req.path)
  const wanted = as ?? asked
  const model = wanted === undefined ? undefined : options.names.target(wanted, pool)
  const body =
    model === asked || model === undefined
      ? c.get('body')
      : renamed(c.get('body'), payload === undefined ? undefined : named, model)
  if (model !== undefined && pool.serves(model)) record.model = model
  // What was asked before did not answer.
  else if (as !== undefined) record.model = 'unknown'
  record.stream = laxBoolean(stream) === true
  const responseId = memory.responses.idIn(c.req.path, payload)
  const home = responseId === undefined ? undefined : memory.responses.makerOf(responseId)
  const headers = requestHeaders(incoming.headers, {
    requestId: claimEngineId(memory.engineIds, record),
    workerKey,
    dropClientKey: dropClientKey || c.get('keyConsumed') === true,
    bodyDecoded: c.get('bodyDecoded') === true,
    forwarding: forwardingOf(c, options.proxies),
  })
  const seeksResponse = responseId !== undefined && home === undefined
  const path = pathAndQuery(c.req.url)
  const dialect = dialectOf(c.req.path)
  const endMarker = markedStreams.has(c.req.path)
  const choices = choicesIn(payload)
  const isStateful = responseId !== undefined || c.get('changesWorker') === true
  return {
    asked: payload === undefined || isStateful ? undefined : named,
    dialect,
    endMarker,
    choices,
    record,
    method: c.req.method,
    path,
    once: c.get('changesWorker'),
    home,
    elsewhere: elsewhere({ directory: options.directory, headers, workerKey, model, seeksResponse }),
    headers,
    body: options.enginePriority
      ? withPriority(body, payload, c.req.path, standingOf(c.get('tenant'), incoming.headers))
      : body,
    stream: record.stream,
    kind: new RequestKind({
      model,
      path,
      headers,
      stream: record.stream,
      body,
      session: reads?.session === true ? sessionKey(incoming, payload, c.get('tenant')) : undefined,
      prompt:
        reads?.prompt === true && payload !== undefined && body !== undefined
          ? promptOf(body, model, record, pool)
          : undefined,
    }),
    longHold: longHold({ dialect, endMarker, choices, record }, options),
  }
}

/** What workers are told of the client's connection; undefined where there is none. */
function forwardingOf(c: Context<GatewayContext>, proxies: TrustedProxies): Forwarding | undefined {
  const { incoming } = c.env
  const { remoteAddress } = incoming
  if (remoteAddress === undefined) return undefined
  const secure = c.req.url.startsWith('https:')
  return { peer: plainAddress(remoteAddress), secure, trusted: proxies.sent(incoming) }
}

/** A call, and the name that its JSON body gives to the model; undefined where no other model may answer it. */
export interface NamedCall extends Call {
  readonly asked: unknown
}

/**
 * Only the bytes of the name change.
 * @param named what a JSON body calls the model
 */
export function renamed(body: RequestBody | undefined, named: unknown, model: string): RequestBody {
  if (body === undefined || typeof named !== 'string') {
    const message = 'This name stands for another model, and can be given in a JSON body only.'
    throw new RouterError('invalid_request', message, { param: 'model' })
  }
  const changed = withText(body, 'model', named, model)
  if (changed !== undefined) return changed
  const message = `The name ${JSON.stringify(named)} stands for another model, and could not be found in the body again: give "model" once, unescaped.`
  throw new RouterError('invalid_request', message, { param: 'model' })
}

/** The beginning of the prompt, for a policy that reads it; and the policy is told how many tokens the prompt has had. */
function promptOf(body: RequestBody, model: string | undefined, record: RequestRecord, { policy }: Pool) {
  const bytes = body.byteLength
  // A name that a client has made up gets no state of its own.
  const known = record.model === model ? model : undefined
  record.onEnd(() => {
    // Another model may have answered.
    if (record.usage !== undefined && record.model === known)
      policy.counted?.(known, bytes, record.usage.prompt)
  })
  return promptChain(body, known)
}

/** Of streams of events only: of what else a client may stream, its reader would take a comment for content. */
function longHold(stream: StreamFacts, { holdCommentAfterMs: afterMs, clock }: InferenceOptions) {
  if (!stream.record.stream || !stream.endMarker || afterMs === Number.POSITIVE_INFINITY) return undefined
  return new LongHold({ stream, afterMs, clock })
}

function claimEngineId(engineIds: EngineIds, record: RequestRecord): string {
  const id = engineIds.claim(record.requestId)
  if (id !== record.requestId) record.engineId = id
  record.onEnd(() => engineIds.release(id))
  return id
}

/** What routing needs to know, from a body that is no JSON. */
function formFields({ headers }: Incoming, body: RequestBody | undefined) {
  const contentType = firstHeader(headers, 'content-type')
  return {
    model: formField(body, contentType, 'model'),
    stream: formField(body, contentType, 'stream'),
  }
}
