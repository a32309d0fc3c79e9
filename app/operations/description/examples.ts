import type { RequestView } from '../../request/request-view.ts'
import type { WorkerState } from '../../workers/worker-state.ts'
import type { ConfigView, ReloadResult } from '../router-control.ts'

export const exampleWorker: WorkerState = {
  id: '6d1c84f2',
  url: 'http://gpu1:8000',
  available: true,
  unavailable_reason: null,
  health: 'healthy',
  health_reason: null,
  last_choice: null,
  busy_until: null,
  in_flight: 3,
  weight: 1,
  draining: false,
  breaker: { state: 'closed', reason: null, until: null },
  last_error: { at: '2026-11-28T09:14:02.118Z', message: 'GET /health: status 503' },
  models: ['facebook/opt-350m'],
  models_hidden: null,
  load: { at: '2026-11-28T09:20:11.002Z', age_seconds: 1.4, running: 3, waiting: 0, kv_cache_usage: 0.21 },
  recent: {
    seconds: 60,
    attempts: 412,
    retries: 0,
    failures: 0,
    refusals: 2,
    completion_tokens: 48_211,
    first_token_ms: { p50: 38.4, p95: 86.5 },
  },
  waiting: { requests: 1, quiet_seconds: 0.1 },
}

/** A stream that the second worker has answered, since the first one had refused it. */
export const exampleRequest: RequestView = {
  request_id: '0f8c2f0e-7c0b-4c61-9d55-0f2f1e6f2a11',
  at: '2026-11-28T09:20:10.004Z',
  route: '/v1/chat/completions',
  model: 'facebook/opt-350m',
  answered_by: undefined,
  stream: true,
  tenant: 'team-a',
  client: '10.1.4.17',
  status: 200,
  end_reason: 'completed',
  error: undefined,
  candidates: 2,
  passed_over: [{ worker: 'http://gpu3:8000', reason: 'draining' }],
  attempts: [
    { worker: 'http://gpu1:8000', why: 'turn', outcome: 'busy', sent_ms: 0.6, ended_ms: 3.1 },
    { worker: 'http://gpu2:8000', why: 'turn', outcome: 'completed', sent_ms: 3.3, ended_ms: 871.2 },
  ],
  phases: { admitted: 0.5, sent: 3.3, head: 5.2, first_token: 41.7, end: 871.2 },
  prompt_tokens: 212,
  completion_tokens: 64,
}

export const exampleReload: ReloadResult = {
  at: '2026-11-28T09:21:00.310Z',
  ok: true,
  changed: ['--retry-max-retries'],
  changes: [{ setting: '--retry-max-retries', before: '3', after: '2' }],
  problems: [],
}

export const exampleFailedReload: ReloadResult = {
  at: '2026-11-28T09:21:00.310Z',
  ok: false,
  changed: [],
  changes: [],
  problems: [
    '--log-level (file router.yaml:1:12 (log-level)): got "loud"; allowed: trace, debug, info, warn, error, fatal, silent',
  ],
}

/** Three of all the settings. */
export const exampleConfig: ConfigView = {
  settings: { host: '127.0.0.1', port: '8080', 'admin-api-key': 'set, not shown' },
  last_reload: null,
}
