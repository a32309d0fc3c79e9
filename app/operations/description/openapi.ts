import { type ErrorCode, RouterError } from '../../../http/errors.ts'
import { version } from '../../config/version.ts'
import { ref } from './fields.ts'
import { objects } from './objects.ts'
import { pageGroup } from './page-group.ts'
import type { RouteDescription, RouteGroup } from './route-description.ts'
import { routerRoutes } from './router-routes.ts'
import { watchRoutes } from './watch-routes.ts'
import { workerRoutes } from './worker-routes.ts'

/** Every route of the operations listener. One that is missing here fails the tests. */
export const routeGroups: readonly RouteGroup[] = [watchRoutes, workerRoutes, routerRoutes, pageGroup]

/** Errors of every admin route, each with when it comes. */
const adminErrors = {
  invalid_api_key: 'there is an admin key, and the request does not have it',
  forbidden:
    'a page of another origin, a name that is not in `--admin-hosts`, or a proxy although there is no key',
} as const satisfies Partial<Record<ErrorCode, string>>

const changeErrors = {
  unsupported_media_type: 'a body that is not `application/json`',
} as const satisfies Partial<Record<ErrorCode, string>>

const bodyErrors = {
  invalid_json: 'the body is no JSON object',
  payload_too_large: 'the body has more than 64 KiB',
} as const satisfies Partial<Record<ErrorCode, string>>

/** Every error that a route answers with by itself, each with when it comes. */
export function errorsOf(route: RouteDescription): readonly (readonly [ErrorCode, string])[] {
  const errors: Partial<Record<ErrorCode, string>> = {
    ...(route.open !== true && adminErrors),
    ...(route.open !== true && route.method !== 'get' && changeErrors),
    ...(route.body !== undefined && route.lenient !== true && bodyErrors),
    ...route.errors,
  }
  const all = Object.entries(errors) as [ErrorCode, string][]
  return all.toSorted(([a], [b]) => statusOf(a) - statusOf(b))
}

export function statusOf(code: ErrorCode): number {
  return new RouterError(code, '').status
}

const errorContent = { 'application/json': { schema: ref('Error') } }

function operation(route: RouteDescription, tag: string): object {
  const byStatus = Map.groupBy(errorsOf(route), ([code]) => statusOf(code))
  const errors = [...byStatus].map(([status, codes]) => [
    status,
    {
      description: codes.map(([code, when]) => `\`${code}\`: ${when}`).join('\n\n'),
      content: errorContent,
    },
  ])
  const answers = Object.entries(route.answers).map(([status, { when, content }]) => [
    status,
    { description: when, ...(content && { content }) },
  ])
  return {
    operationId: route.name,
    tags: [tag],
    summary: route.summary,
    ...(route.more !== undefined && { description: route.more }),
    ...(route.open !== true && { security: [{ adminKey: [] }, { adminKeyHeader: [] }, {}] }),
    ...(route.parameters && { parameters: route.parameters }),
    ...(route.body && { requestBody: { required: true, content: { 'application/json': route.body } } }),
    responses: {
      ...Object.fromEntries([...answers, ...errors]),
      default: { description: 'Any other error', content: errorContent },
    },
  }
}

/** The operations listener as an OpenAPI 3.1 document. */
export function openApiDocument(): Readonly<Record<string, unknown>> {
  const paths: Record<string, Record<string, object>> = {}
  for (const { title, routes } of routeGroups) {
    for (const route of routes) {
      paths[route.path] = { ...paths[route.path], [route.method]: operation(route, title) }
    }
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'vllm-router: operations listener',
      version,
      description: 'Metrics, probes, and what operators see of the router and do to it. Fields may be added.',
    },
    servers: [
      { url: '/', description: '--prometheus-host and --prometheus-port: 127.0.0.1:29000 by default' },
    ],
    tags: routeGroups.map(({ title, about }) => ({ name: title, description: about })),
    paths,
    components: {
      schemas: objects,
      securitySchemes: {
        adminKey: {
          type: 'http',
          scheme: 'bearer',
          description: 'the key of --admin-api-key, where there is one',
        },
        adminKeyHeader: { type: 'apiKey', in: 'header', name: 'x-api-key', description: 'the same, bare' },
      },
    },
  }
}
