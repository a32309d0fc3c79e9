import type { JsonSchema } from '../../config/json-schema.ts'
import type { CandidateView, ChoiceView, DryRun, LimitsView, Refusal } from '../../request/dry-run.ts'
import { count, flag, list, number, Optional, object, orNull, ref, text, word } from './fields.ts'

const refusal = object<Refusal>('what the client would be told by the router itself', {
  status: count('HTTP status'),
  code: text('stable; all of them are in errors.md'),
  message: text('what is wrong, and what helps'),
  param: orNull(text('the field of the request that is wrong')),
  retry_after: orNull(number('seconds, as in `Retry-After`')),
})

const refused: JsonSchema = { ...ref('Refusal'), description: 'null where it would not be refused' }

const limits = object<LimitsView>('the limits of the router, of all processes together', {
  outcome: word('what they would do', {
    admitted: 'it goes on at once',
    waits: 'it waits for its turn',
    refused: 'see `refused`',
  }),
  refused: orNull(refused),
  in_flight: count('requests that are served now'),
  max_in_flight: orNull(count('how many may be; null: any number')),
  kept_for_high: count('of these, how many only requests of class `high` may be'),
  waiting: count('requests that wait for their turn'),
  queue_size: count('how many may'),
  priority: word('its class in the queue', { high: '', normal: '', low: 'by its header `x-priority`' }),
})

const candidateFields = {
  id: text('as in `GET /workers`'),
  worker: text('its URL'),
  in_flight: count('requests of the router on it'),
}

const choice = object<ChoiceView>('the worker that the policy would choose', {
  ...candidateFields,
  why: text('as in `policy_decisions_total`; `stored_response`: it alone has what the request is about'),
  rank: orNull(count('the data-parallel rank; null where there is one, or where the policy cannot tell')),
  breaker: word('state of its breaker', {
    closed: '',
    half_open: 'the request is its trial',
    open: 'there is no other worker',
  }),
})

const dryRun = object<DryRun>('where a request would go now, and why', {
  process: new Optional(count('which of several processes says so: each has turns and sessions of its own')),
  path: text('path and query as a worker would get them'),
  outcome: word('what would become of it', {
    sent: 'see `choice`',
    waits: 'for its turn, or for the first probes',
    refused: 'see `refused`',
    answered: 'the router answers it itself',
  }),
  refused: orNull(refused),
  model: object<DryRun['model']>('its model', {
    asked: orNull(text('as the request names it, or as all workers have it; null: none')),
    resolved: orNull(text('what goes to the worker: the target of an alias, or a fallback')),
    listed: flag('whether a worker lists it'),
    fallbacks: list('models that may answer in its place, in order', { type: 'string' }),
  }),
  stream: flag('whether it asks for a stream'),
  session: orNull(text('where the name of its session stands: `header x-session-id`, `field user`')),
  prefix_blocks: orNull(count('blocks of its prompt; null where the policy reads no prompts')),
  policy: text('the policy for its model'),
  candidates: list(
    'workers that the policy could choose',
    object<CandidateView>('one of them', candidateFields),
  ),
  passed_over: list(
    'all other workers',
    object<DryRun['passed_over'][number]>('one of them', {
      id: text('as in `GET /workers`'),
      worker: text('its URL'),
      reason: text(
        'as `unavailable_reason` and `last_choice`; `half_open`, `slow_start`: it has had its share, `context_too_short`',
      ),
    }),
  ),
  choice: orNull(choice),
  limits,
  notes: list('what this answer leaves out, in sentences', { type: 'string' }),
})

/** What `POST /debug/route` answers with, by name. */
export const dryRunObjects: Readonly<Record<string, JsonSchema>> = { DryRun: dryRun, Refusal: refusal }

export const exampleDryRun: DryRun = {
  path: '/v1/chat/completions',
  outcome: 'sent',
  refused: null,
  model: { asked: 'fast', resolved: 'facebook/opt-350m', listed: true, fallbacks: [] },
  stream: true,
  session: 'header x-session-id',
  prefix_blocks: 12,
  policy: 'cache_aware',
  candidates: [
    { id: '6d1c84f2', worker: 'http://gpu1:8000', in_flight: 3 },
    { id: '9f2c01d4', worker: 'http://gpu2:8000', in_flight: 1 },
  ],
  passed_over: [{ id: '41be77a0', worker: 'http://gpu3:8000', reason: 'draining' }],
  choice: {
    ...{ id: '9f2c01d4', worker: 'http://gpu2:8000', in_flight: 1 },
    ...{ why: 'session', rank: null, breaker: 'closed' },
  },
  limits: {
    ...{ outcome: 'admitted', refused: null, in_flight: 4, max_in_flight: null, kept_for_high: 0 },
    ...{ waiting: 0, queue_size: 100, priority: 'normal' },
  },
  notes: [],
}
