import { errorCodes } from '../../../http/errors.ts'
import type { JsonSchema } from '../../config/json-schema.ts'
import type { AttemptView, PassedOver, RequestView } from '../../request/request-view.ts'
import type { LastChoice, Unavailable } from '../../workers/health.ts'
import type {
  BreakerView,
  LoadView,
  RecentView,
  WaitingView,
  WorkerState,
} from '../../workers/worker-state.ts'
import type { ConfigView, FlushResult, ReloadResult, SettingChange } from '../router-control.ts'
import { dryRunObjects } from './dry-run-objects.ts'
import { count, flag, list, number, Optional, object, orNull, ref, text, time, word } from './fields.ts'
import { limitsObjects } from './limits-objects.ts'
import { usageObjects } from './usage-objects.ts'

const unavailable = word<Unavailable>('why it cannot get a request', {
  removed: 'taken out, it only finishes what it has',
  draining: 'an operator has said so',
  starting: 'it has not been healthy yet',
  unhealthy: 'see `health_reason`',
  breaker_open: 'see `breaker`',
  full: 'it has as many requests as it may have',
  key_refused: 'it takes no requests with the key of the router',
  other_model: 'it does not serve the model',
})

const breaker = object<BreakerView>('its circuit breaker', {
  state: word('state', {
    disabled: 'there is none',
    closed: 'requests pass',
    half_open: 'one trial passes at a time',
    open: 'none passes',
  }),
  reason: orNull(text('the fault that opened it')),
  until: orNull(time('when the next trial may pass')),
})

const load = object<LoadView>("what the engine's own metrics said last; null before that", {
  at: time('when they were read'),
  age_seconds: number('how long ago that was, in seconds'),
  running: orNull(number('requests that the engine works on, those of others included')),
  waiting: orNull(number('requests that wait in the engine')),
  kv_cache_usage: orNull(number('share of its KV cache in use, 0 to 1')),
})

const recent = object<RecentView>('what it has done within the last minute', {
  seconds: count('how many seconds these figures cover'),
  attempts: count('requests that were sent to it'),
  retries: count('those of them that another worker had failed or refused'),
  failures: count('attempts that failed'),
  refusals: count('answers that said it was busy (429, 503)'),
  completion_tokens: count('tokens of the answers that ended within that time'),
  first_token_ms: orNull(
    object<{ p50: number; p95: number }>(
      'of streams, milliseconds from sending the request to the first token; null where there was none',
      { p50: number('median'), p95: number('95th percentile') },
    ),
  ),
})

const waiting = object<WaitingView>('requests on it that have shown no sign of life yet', {
  requests: count('how many'),
  quiet_seconds: number('how long it has given no sign of life at all while they waited, in seconds'),
})

const lastError = object<NonNullable<WorkerState['last_error']>>('its last failure; null before that', {
  at: time('when'),
  message: text('of the request or of the probe'),
})

const worker = object<WorkerState>(
  'a worker as the router sees it. With several processes it is the worst view that any of them has, and the sum of what counts',
  {
    id: text('short, the same for the same URL in every router'),
    url: text('where it is'),
    available: flag('whether it may get a request now'),
    unavailable_reason: orNull(unavailable),
    health: word('what the probes say', { starting: 'never healthy so far', healthy: '', unhealthy: '' }),
    health_reason: orNull(text('why it is unhealthy')),
    last_choice: orNull(
      word<LastChoice>('why others are chosen first although it is available', {
        busy: 'it refuses work',
        no_sign_of_life: 'it has been silent for far longer than its requests usually take',
      }),
    ),
    busy_until: orNull(time('when a busy worker is asked again')),
    in_flight: count('requests of the router on it'),
    weight: number('how much of the work it should get, beside others'),
    draining: flag('it gets no new requests, because an operator said so'),
    breaker,
    last_error: orNull(lastError),
    models: orNull(list('models that it serves; null while they are not known', { type: 'string' })),
    models_hidden: new Optional(orNull(text('why the router does not know them, and what would help'))),
    load: orNull(load),
    recent,
    waiting,
  },
)

const attempt = object<AttemptView>('one attempt that another one followed, or the last', {
  worker: text('URL of the worker'),
  why: new Optional(text('why the policy chose it: `turn`, `load`, `session`, `affinity`, `index`, `spill`')),
  outcome: text("a kind of fault, or the reason of the request's end"),
  sent_ms: new Optional(number('milliseconds since the request was accepted')),
  ended_ms: new Optional(number('milliseconds since the request was accepted')),
})

const passedOver = object<PassedOver>('a worker that was not among those that the policy chose from', {
  worker: text('its URL'),
  reason: text('as `unavailable_reason` and `last_choice`; `tried`: it has had this request; `half_open`'),
})

const phase = (what: string) => new Optional(number(what))

const request = object<RequestView>(
  'what became of one request, without anything that the client or the worker said',
  {
    request_id: text('as in the header `x-request-id` and in the log'),
    at: time('when it was accepted'),
    route: text("the route's pattern"),
    model: text('the model asked for; `unknown` where no worker has it'),
    answered_by: new Optional(text('the model that answered in its place')),
    stream: flag('whether the client asked for a stream'),
    tenant: new Optional(text('whose request it is, where keys tell')),
    client: new Optional(text('address of the client, or of the proxy that it came through')),
    status: count('HTTP status of the answer; 0 while there is none'),
    end_reason: text('`completed`, `worker_error`, a code of an error, or `running` until it has ended'),
    error: new Optional(text('the message of the error that the client was given')),
    candidates: count('workers that the policy could choose from the last time'),
    passed_over: list('workers that it could not choose from', passedOver),
    attempts: list('what was tried', attempt),
    phases: object<RequestView['phases']>(
      'milliseconds since the request was accepted at which each phase was over; absent: it did not come to that',
      {
        admitted: phase('read, checked and admitted'),
        sent: phase('sent to the worker'),
        head: phase("the head of the worker's answer was there"),
        first_token: phase('the first token was there'),
        end: phase('the last byte had gone out'),
      },
    ),
    prompt_tokens: new Optional(count('as the worker counted them')),
    completion_tokens: new Optional(count('as the worker counted them')),
  },
)

const reloadResult = object<ReloadResult>('what came of reading the configuration anew', {
  at: time('when'),
  ok: flag('whether the new one is in force'),
  changed: list('flags whose values have changed', { type: 'string' }),
  changes: list(
    'their values, in the same order; those of keys are not shown',
    object<SettingChange>('one of them', {
      setting: text('its flag'),
      before: text('its value before'),
      after: text('its value now'),
    }),
  ),
  problems: list('why it was not taken over, one sentence each; the one before stays in force', {
    type: 'string',
  }),
})

const config = object<ConfigView>('the configuration in force', {
  settings: {
    type: 'object',
    description: 'values by the names that files use; of keys only whether they are set',
    additionalProperties: { type: 'string' },
  },
  last_reload: orNull({
    ...ref('ReloadResult'),
    description: 'what came of the last reload; null before the first one',
  }),
})

const flushed = object<FlushResult>('what became of the prefix cache of one worker', {
  worker: text('its URL'),
  ok: flag('whether it has emptied it'),
  detail: text('what it has answered, or why it has not'),
})

interface ErrorAnswer {
  readonly error: {
    readonly message: string
    readonly type: string
    readonly param: string | null
    readonly code: string
  }
}

const error = object<ErrorAnswer>('an error of the router', {
  error: object<ErrorAnswer['error']>("in the shape of OpenAI's API", {
    message: text('what is wrong, and what helps'),
    type: text('a coarse class of errors, as clients of OpenAI know them'),
    param: orNull(text('the field or parameter that is wrong')),
    code: { type: 'string', enum: errorCodes, description: 'stable; all of them are in errors.md' },
  }),
})

/** What routes answer with, by name. */
export const objects: Readonly<Record<string, JsonSchema>> = {
  Worker: worker,
  Request: request,
  Config: config,
  ReloadResult: reloadResult,
  FlushResult: flushed,
  ...limitsObjects,
  ...dryRunObjects,
  ...usageObjects,
  Error: error,
}
