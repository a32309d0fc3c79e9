import type { JsonSchema } from '../../config/json-schema.ts'
import type { RequestFilter, RequestView } from '../../request/request-view.ts'
import { exampleDryRun } from './dry-run-objects.ts'
import { exampleConfig, exampleFailedReload, exampleReload, exampleRequest } from './examples.ts'
import { list, object, ref } from './fields.ts'
import { exampleLimits } from './limits-objects.ts'
import { json, type Parameter, type RouteGroup } from './route-description.ts'
import { exampleUsage, exampleUsageCsv } from './usage-objects.ts'

const wholeNumber: JsonSchema = { type: 'integer', minimum: 0, maximum: 999_999_999 }

const filters: Readonly<Record<keyof RequestFilter, JsonSchema>> = {
  worker: { type: 'string', description: 'id or URL of a worker that was asked' },
  model: { type: 'string', description: 'the model asked for' },
  tenant: { type: 'string', description: 'the tenant whose request it is' },
  status: { ...wholeNumber, description: 'HTTP status of the answer' },
  slower_than_ms: { ...wholeNumber, description: 'only those that took longer, in milliseconds' },
  ended_within_ms: {
    ...wholeNumber,
    description: 'only those that ended within the last so many milliseconds',
  },
  failed: { type: 'boolean', description: 'only those that ended otherwise than well' },
  limit: { ...wholeNumber, default: 50, description: 'at most so many, the newest first' },
}

const filterParameters = Object.entries(filters).map(
  ([name, schema]): Parameter => ({ in: 'query', name, schema }),
)

const pathParameter: Parameter = {
  in: 'query',
  name: 'path',
  schema: {
    type: 'string',
    default: '/v1/chat/completions',
    description: 'path and query, as a client would ask for them',
  },
}

const tenantParameter: Parameter = {
  in: 'query',
  name: 'tenant',
  schema: { type: 'string', description: 'name of the tenant whose limits are asked about too' },
}

const exampleBody = { model: 'fast', stream: true, messages: [{ role: 'user', content: 'Hello' }] }

const requests = object<{ requests: readonly RequestView[] }>('the requests, the newest first', {
  requests: list('each request', ref('Request')),
})

const moment = (description: string): JsonSchema => ({
  type: 'string',
  description: `${description}; a date or a time of ISO 8601, in UTC unless it says otherwise`,
})

const usageParameters: readonly Parameter[] = [
  {
    in: 'query',
    name: 'tenant',
    schema: { type: 'string', description: 'only this one; empty: requests without a tenant' },
  },
  { in: 'query', name: 'model', schema: { type: 'string', description: 'only this one' } },
  { in: 'query', name: 'from', schema: moment('the first hour, or a moment in it') },
  { in: 'query', name: 'to', schema: moment('the end: only hours that begin before') },
  {
    in: 'query',
    name: 'format',
    schema: {
      type: 'string',
      enum: ['json', 'csv'],
      description: 'unless it is given, `Accept: text/csv` gets CSV, and all else JSON',
    },
  },
]

/** What the router itself does and has done. */
export const routerRoutes: RouteGroup = {
  title: 'Requests and configuration',
  about: 'Why did this request go there, and what is in force.',
  routes: [
    {
      ...{ method: 'get', path: '/debug/requests', name: 'listRequests', parameters: filterParameters },
      summary: 'What became of the last thousand requests, and of those that run',
      more: 'No prompt, no answer, no key. All filters that are given must hold.',
      answers: { 200: { when: 'always', content: json(requests, { requests: [exampleRequest] }) } },
      errors: { invalid_request: 'a filter that there is not, or one that is no whole number' },
    },
    {
      ...{
        method: 'post',
        path: '/debug/route',
        name: 'dryRun',
        parameters: [pathParameter, tenantParameter],
      },
      summary: 'Where a request would go now, and why, without sending it',
      more: 'Body and header fields are those of the request that is asked about. Nothing is claimed, counted or learnt.',
      body: {
        schema: { description: "the client's own bytes: the blocks of its prompt are made of them" },
        example: exampleBody,
      },
      lenient: true,
      answers: { 200: { when: 'always', content: json(ref('DryRun'), exampleDryRun) } },
      errors: {
        invalid_request: 'a parameter that there is not, or a `path` that is none',
        payload_too_large: 'the body has more than `--max-payload-size`',
        unsupported_media_type: 'a body that is not `application/json`, or a compressed one',
      },
    },
    {
      ...{ method: 'get', path: '/limits', name: 'getLimits' },
      summary: 'What tenants have used up of their limits',
      more: 'Of those that have limits. What is used up is that of all processes, and of all routers that share a store; requests in flight are those of this router.',
      answers: { 200: { when: 'always', content: json(ref('TenantLimits'), exampleLimits) } },
    },
    {
      ...{ method: 'get', path: '/usage', name: 'getUsage', parameters: usageParameters },
      summary: 'What tenants have used, by hour and model',
      more: 'A request counts in the hour of its end. The sums since the start are those of the metrics (observability.md).',
      answers: {
        200: {
          when: 'always',
          content: {
            ...json(ref('Usage'), exampleUsage),
            'text/csv': { schema: { type: 'string' }, example: exampleUsageCsv },
          },
        },
      },
      errors: { invalid_request: 'a parameter that there is not, or one that is not what it should be' },
    },
    {
      ...{ method: 'get', path: '/config', name: 'getConfig' },
      summary: 'The configuration in force, keys left out',
      answers: { 200: { when: 'always', content: json(ref('Config'), exampleConfig) } },
    },
    {
      ...{ method: 'post', path: '/reload', name: 'reload' },
      summary: 'Reads the configuration anew and takes it over, all of it or nothing',
      answers: {
        200: { when: 'it is in force', content: json(ref('ReloadResult'), exampleReload) },
        409: {
          when: 'something is wrong with it; the one before stays in force',
          content: json(ref('ReloadResult'), exampleFailedReload),
        },
      },
      errors: { invalid_request: 'the router is part of a program, which has the configuration' },
    },
  ],
}
