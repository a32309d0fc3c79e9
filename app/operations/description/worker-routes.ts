import type { WorkerState } from '../../workers/worker-state.ts'
import type { FlushResult } from '../router-control.ts'
import { exampleWorker } from './examples.ts'
import { count, flag, list, object, ref, text } from './fields.ts'
import { json, type Parameter, plain, type RouteGroup } from './route-description.ts'

const url: Parameter = {
  in: 'query',
  name: 'url',
  required: true,
  schema: { type: 'string', description: 'URL of the worker, in any spelling, such as `http://gpu1:8000`' },
}

const id: Parameter = {
  in: 'path',
  name: 'id',
  required: true,
  schema: { type: 'string', description: 'id of the worker, or its URL with `/` as `%2F`' },
}

const workers = (about: string) =>
  object<{ workers: readonly WorkerState[] }>(about, { workers: list('each worker', ref('Worker')) })

const urls = object<{ urls: readonly string[] }>('the workers', {
  urls: list('uRL of each worker', { type: 'string' }),
})

interface Loads {
  readonly workers: readonly { readonly worker: string; readonly load: number }[]
}

const loads = object<Loads>('the workers and their load', {
  workers: list(
    'each worker',
    object<Loads['workers'][number]>('a worker', {
      worker: text('its URL'),
      load: count('requests of the router on it'),
    }),
  ),
})

const flushes = object<{ workers: readonly FlushResult[] }>('what became of each cache', {
  workers: list('each worker', ref('FlushResult')),
})

const isKnown = 'no worker of that id or URL'
const isNoUrl =
  'no `url`, no worker URL, one outside of `--worker-url-allow`, or one that the router has already'

/** Who is in the pool, and what operators do to them. */
export const workerRoutes: RouteGroup = {
  title: 'Workers',
  about:
    'What is changed here lasts until the process ends, and is known to one replica only: lists and discovery are in configuration.md.',
  routes: [
    {
      ...{ method: 'get', path: '/workers', name: 'listWorkers' },
      summary: 'Every worker with its state, and why it is in it',
      answers: {
        200: { when: 'always', content: json(workers('the workers'), { workers: [exampleWorker] }) },
      },
    },
    {
      ...{ method: 'post', path: '/workers', name: 'addWorker' },
      summary: 'Adds a worker, which gets requests once its probes find it healthy',
      body: {
        schema: object<{ url: string }>('the worker', { url: text('such as `http://gpu1:8000`') }),
        example: { url: 'http://gpu3:8000' },
      },
      answers: {
        201: {
          when: 'it is in the pool',
          content: json(ref('Worker')),
        },
      },
      errors: { invalid_request: isNoUrl },
    },
    {
      ...{ method: 'get', path: '/workers/{id}', name: 'getWorker', parameters: [id] },
      summary: 'One worker with its state',
      answers: { 200: { when: 'it is in the pool', content: json(ref('Worker')) } },
      errors: { not_found: isKnown },
    },
    {
      ...{ method: 'patch', path: '/workers/{id}', name: 'drainWorker', parameters: [id] },
      summary: 'Drains a worker, or takes that back',
      more: 'A worker that drains gets no new requests and finishes those that it has.',
      body: {
        schema: object<{ draining: boolean }>('the change', { draining: flag('whether it drains') }),
        example: { draining: true },
      },
      answers: { 200: { when: 'it is so now', content: json(ref('Worker')) } },
      errors: { invalid_request: '`draining` is neither true nor false', not_found: isKnown },
    },
    {
      ...{ method: 'delete', path: '/workers/{id}', name: 'removeWorker', parameters: [id] },
      summary: 'Takes a worker out; it finishes the requests that it has',
      answers: { 204: { when: 'it is out' } },
      errors: { not_found: isKnown },
    },
    {
      ...{ method: 'post', path: '/add_worker', name: 'addWorkerAndWait', parameters: [url] },
      summary: 'Adds a worker and waits until it is healthy, as the vLLM Router does it',
      answers: {
        200: { when: 'it is healthy', content: plain('Successfully added worker: http://gpu3:8000') },
      },
      errors: { invalid_request: `${isNoUrl}; it was not healthy within \`--worker-startup-timeout-secs\`` },
    },
    {
      ...{ method: 'post', path: '/remove_worker', name: 'removeWorkerByUrl', parameters: [url] },
      summary: 'The same as `DELETE /workers/{id}`, as the vLLM Router does it',
      answers: {
        200: { when: 'it is out', content: plain('Successfully removed worker: http://gpu3:8000') },
      },
      errors: { invalid_request: 'no `url`', not_found: isKnown },
    },
    {
      ...{ method: 'get', path: '/list_workers', name: 'listWorkerUrls' },
      summary: 'The URL of every worker, as the vLLM Router lists them',
      answers: { 200: { when: 'always', content: json(urls, { urls: ['http://gpu1:8000'] }) } },
    },
    {
      ...{ method: 'get', path: '/get_loads', name: 'listLoads' },
      summary: 'Requests in flight on every worker, as the vLLM Router lists them',
      answers: {
        200: { when: 'always', content: json(loads, { workers: [{ worker: 'http://gpu1:8000', load: 3 }] }) },
      },
    },
    {
      ...{ method: 'post', path: '/flush_cache', name: 'flushCaches' },
      summary: 'Has every worker empty its prefix cache',
      more: 'vLLM takes this (`POST /reset_prefix_cache`) only with its development routes on.',
      answers: {
        200: {
          when: 'every worker has emptied it',
          content: json(flushes, {
            workers: [{ worker: 'http://gpu1:8000', ok: true, detail: 'status 200' }],
          }),
        },
        502: {
          when: 'at least one has not',
          content: json(flushes, {
            workers: [{ worker: 'http://gpu1:8000', ok: false, detail: 'status 404' }],
          }),
        },
      },
    },
  ],
}
