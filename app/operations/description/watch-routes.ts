import { count, list, Optional, object, text, word } from './fields.ts'
import { json, plain, type RouteGroup } from './route-description.ts'

interface Readiness {
  readonly status: 'ready' | 'not ready'
  readonly reason?: string
  readonly workers: { readonly total: number; readonly available: number }
  readonly healthy_workers: number
  readonly total_workers: number
}

const readiness = object<Readiness>('whether the router can serve requests', {
  status: word('in a word', { ready: '', 'not ready': '' }),
  reason: new Optional(text('why it is not ready')),
  workers: object<Readiness['workers']>('its workers', {
    total: count('all of them'),
    available: count('those that can take a request now'),
  }),
  healthy_workers: count('those that the probes find healthy'),
  total_workers: count('the same as `workers.total`'),
})

interface Health {
  readonly status: 'healthy' | 'unhealthy'
  readonly workers: readonly { readonly id: string; readonly url: string; readonly health: string }[]
}

const health = object<Health>('whether every worker is healthy', {
  status: word('in a word', { healthy: '', unhealthy: '' }),
  workers: list(
    'each worker',
    object<Health['workers'][number]>('a worker', {
      id: text('its id'),
      url: text('its URL; not shown on the API listener'),
      health: word('what the probes say', { starting: 'never healthy so far', healthy: '', unhealthy: '' }),
    }),
  ),
})

const [one, other] = [
  { id: '6d1c84f2', url: 'http://gpu1:8000' },
  { id: 'a90be713', url: 'http://gpu2:8000' },
]

/** What other programs and people look at, without a key. */
export const watchRoutes: RouteGroup = {
  title: 'Metrics, probes, page',
  about: 'Open to everybody who reaches the listener. The three probes are on the API listener too.',
  routes: [
    {
      ...{ method: 'get', path: '/metrics', name: 'getMetrics', open: true },
      summary: 'What Prometheus reads',
      more: 'Every metric is in observability.md. With several processes these are the figures of all together. Where traces are sent, those who accept OpenMetrics get that, with exemplars.',
      answers: {
        200: {
          when: 'always',
          content: {
            ...plain('# TYPE vllm_router_active_workers gauge\nvllm_router_active_workers 2\n'),
            'application/openmetrics-text': { schema: { type: 'string' } },
          },
        },
      },
    },
    {
      ...{ method: 'get', path: '/liveness', name: 'getLiveness', open: true },
      summary: 'Whether the process turns',
      more: 'It says nothing about workers, so that a probe that restarts the router does not do so when they are down.',
      answers: { 200: { when: 'always', content: plain('OK') } },
    },
    {
      ...{ method: 'get', path: '/readiness', name: 'getReadiness', open: true },
      summary: 'Whether the router should get requests',
      answers: {
        200: {
          when: 'a worker can take a request, and the router is not about to stop',
          content: json(readiness, {
            status: 'ready',
            workers: { total: 2, available: 2 },
            ...{ healthy_workers: 2, total_workers: 2 },
          }),
        },
        503: {
          when: 'it should not; `reason` says why',
          content: json(readiness, {
            ...{ status: 'not ready', reason: 'draining' },
            workers: { total: 2, available: 2 },
            ...{ healthy_workers: 2, total_workers: 2 },
          }),
        },
      },
    },
    {
      ...{ method: 'get', path: '/health', name: 'getHealth', open: true },
      summary: 'Whether every worker is healthy',
      more: 'JSON for those who send `Accept: application/json`. Load balancers should ask `/readiness`: one sick worker of many is no reason to send nothing.',
      answers: {
        200: {
          when: 'every worker is healthy, or there is none',
          content: {
            ...plain('All servers healthy'),
            ...json(health, { status: 'healthy', workers: [{ ...one, health: 'healthy' }] }),
          },
        },
        503: {
          when: 'at least one is not',
          content: {
            ...plain('Unhealthy servers: [http://gpu2:8000]'),
            ...json(health, {
              status: 'unhealthy',
              workers: [
                { ...one, health: 'healthy' },
                { ...other, health: 'unhealthy' },
              ],
            }),
          },
        },
      },
    },
    {
      ...{ method: 'get', path: '/', name: 'getPage', open: true },
      summary: 'The page of the fleet',
      more: 'It shows the fleet and acts on it, without anything from elsewhere (operations.md). Where there is an admin key, it asks for that key.',
      answers: {
        200: { when: 'always', content: { 'text/html': { schema: { type: 'string' } } } },
        304: { when: '`If-None-Match` names the page that there is' },
      },
    },
    {
      ...{ method: 'get', path: '/page/{file}', name: 'getPageFile', open: true },
      summary: 'A file that the page is made of',
      parameters: [
        { in: 'path', name: 'file', required: true, schema: { ...text('its name'), example: 'style.css' } },
      ],
      answers: {
        200: {
          when: 'there is such a file',
          content: {
            'text/css': { schema: { type: 'string' } },
            'text/javascript': { schema: { type: 'string' } },
            'image/svg+xml': { schema: { type: 'string' } },
          },
        },
        304: { when: '`If-None-Match` names the file that there is' },
      },
      errors: { not_found: 'there is no such file' },
    },
    {
      ...{ method: 'get', path: '/openapi.json', name: 'getDescription', open: true },
      summary: 'This description as an OpenAPI 3.1 document',
      answers: {
        200: {
          when: 'always',
          content: json({ type: 'object' }),
        },
      },
    },
  ],
}
