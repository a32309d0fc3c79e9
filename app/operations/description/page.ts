import type { JsonSchema } from '../../config/json-schema.ts'
import { objects } from './objects.ts'
import { errorsOf, routeGroups, statusOf } from './openapi.ts'
import type { Content, RouteDescription, RouteGroup } from './route-description.ts'

/** docs/api.md, made from the same descriptions as the OpenAPI document. */
export function apiPage(): string {
  const named = Object.entries(objects).map(([name, schema]) => objectSection(name, schema))
  return `${[intro, ...routeGroups.map(groupSection), '## Objects', ...named, apiListener].join('\n\n')}\n`
}

const intro = `# API of the operations listener

${filled(
  'Made from the descriptions in `app/operations/description/`. The router serves the same as an OpenAPI 3.1 document: `GET /openapi.json`. The listener is 127.0.0.1:29000 unless `--prometheus-host` and `--prometheus-port` say otherwise. `vllm-router workers`, `requests` and other verbs ask these routes ([operations.md](operations.md)).',
)}

\`\`\`bash
curl localhost:29000/workers
curl -X PATCH localhost:29000/workers/6d1c84f2 -H 'Content-Type: application/json' -d '{"draining": true}'
curl -H "Authorization: Bearer $VLLM_ROUTER_ADMIN_API_KEY" localhost:29000/config
\`\`\`

${filled(
  'An error has the shape of OpenAI\'s API, `{"error": {"message", "type", "param", "code"}}`; each `code` is stable ([errors.md](errors.md)). Fields may be added to answers.',
)}

${filled('Admin routes, which are all but those of the first section, can also answer:')}

| status | code | when |
|---|---|---|
| 401 | \`invalid_api_key\` | \`--admin-api-key\` is set, and the request has the key neither as \`Authorization: Bearer\` nor as \`x-api-key\` |
| 403 | \`forbidden\` | a page of another origin, a name that is not in \`--admin-hosts\`, or a proxy although there is no key |
| 415 | \`unsupported_media_type\` | a change with a body that is not \`application/json\` |

${filled(
  'Every route answers 405 (`method_not_allowed`, with `Allow`) to a method that it does not have, 404 (`not_found`) stands for a path that is not there, and 500 (`internal_error`) for a fault of the router, which the log tells of. With several processes, 503 (`no_available_worker`, with `Retry-After`) says that none of them has answered in time.',
)}`

const apiListener = `## On the API listener

${filled('Of these routes, and besides what goes to a worker, the API listener (`--port`, 8080) has:')}

| route | |
|---|---|
| \`GET /liveness\`, \`/readiness\`, \`/health\` | as above; \`/health\` names workers by id, not by URL |
| all admin routes but those for the page | only where \`--admin-api-key\` is set, and with that key; else 403 |
| \`GET /v1/models\` | the models of all workers as one list in OpenAI's shape; the last that is known of a worker that is down |
| \`GET /v1/models/{id}\` | one of them, or 404 \`model_not_found\` with the names there are |
| \`POST /finish_session\` | the session that the headers name has ended: a policy that keeps sessions on workers forgets it |

${filled(
  'It has neither `/metrics` nor `/openapi.json`: that one would be of vLLM, and is there with `--relay-worker-pages`. [requests.md](requests.md) says what is done with requests that go to workers.',
)}`

function groupSection({ title, about, routes }: RouteGroup): string {
  return [`## ${title}`, filled(linked(about)), ...routes.map(routeSection)].join('\n\n')
}

function routeSection(route: RouteDescription): string {
  const { method, path, summary, more, parameters = [], body, answers } = route
  const parts = [
    `### ${method.toUpperCase()} ${path}`,
    filled(linked([`${summary}.`, more].filter((text) => text !== undefined).join(' '))),
  ]
  const fields = [
    ...parameters.map(({ name, schema }): Field => [name, schema]),
    ...(body === undefined ? [] : fieldsOf(body.schema)),
  ]
  if (fields.length > 0)
    parts.push(fieldTable(body === undefined ? 'parameter' : 'parameter or field', fields))
  parts.push(answerTable(route))
  if (body !== undefined) parts.push(`The body:\n\n${jsonBlock(body.example)}`)
  const [answer] = Object.values(answers).flatMap(({ content }) => content?.['application/json'] ?? [])
  if (answer !== undefined && 'properties' in answer.schema)
    parts.push(fieldTable('field of the answer', fieldsOf(answer.schema)))
  if (answer?.example !== undefined) parts.push(`An answer:\n\n${jsonBlock(answer.example)}`)
  return parts.join('\n\n')
}

function answerTable(route: RouteDescription): string {
  const good = Object.entries(route.answers).map(
    ([status, { when, content }]) =>
      [status, content === undefined ? 'no body' : shown(content), when] as const,
  )
  // Those of every admin route are said once, at the top.
  const own = errorsOf({ ...route, open: true })
  const bad = own.map(([code, when]) => [statusOf(code), `\`${code}\``, when] as const)
  return ['| status | answer | when |', '|---|---|---|', ...[...good, ...bad].map(row)].join('\n')
}

function shown(content: Content): string {
  return Object.entries(content)
    .map(([type, { schema }]) => (type === 'application/json' ? typeOf(schema) : `\`${type}\``))
    .join(', ')
}

function objectSection(name: string, schema: JsonSchema): string {
  const table = fieldTable('field', fieldsOf(schema))
  return [`### ${name}`, filled(sentence(String(schema.description))), table].join('\n\n')
}

type Field = readonly [name: string, schema: JsonSchema, optional?: boolean]

/** All fields, those within others too, each by its whole path. */
function fieldsOf(schema: JsonSchema, prefix = ''): Field[] {
  const properties = Object.entries((schema.properties ?? {}) as Record<string, JsonSchema>)
  const required = (schema.required ?? []) as readonly string[]
  return properties.flatMap(([name, field]): Field[] => {
    const path = `${prefix}${name}`
    const items = field.items as JsonSchema | undefined
    const inner = items === undefined ? fieldsOf(field, `${path}.`) : fieldsOf(items, `${path}[].`)
    return [[path, field, !required.includes(name)], ...inner]
  })
}

function fieldTable(title: string, fields: readonly Field[]): string {
  const rows = fields.map(([name, schema, optional]) =>
    row([`\`${name}\``, `${typeOf(schema)}${optional === true ? ', may be absent' : ''}`, meaning(schema)]),
  )
  return [`| ${title} | type | |`, '|---|---|---|', ...rows].join('\n')
}

function meaning({ description, default: usual }: JsonSchema): string {
  const text = String(description)
  return usual === undefined ? text : `${text}; ${String(usual)} unless given`
}

function typeOf(schema: JsonSchema): string {
  const choices = schema.anyOf as readonly JsonSchema[] | undefined
  if (choices !== undefined) return choices.map(typeOf).join(' or ')
  if (typeof schema.$ref === 'string') {
    const name = schema.$ref.split('/').at(-1) ?? ''
    return `[${name}](#${name.toLowerCase()})`
  }
  const types = [schema.type].flat()
  const items = schema.items as JsonSchema | undefined
  const named = types.map((type) => {
    if (type === 'array' && items !== undefined) return `list of ${typeOf(items)}`
    return type === 'string' && schema.format === 'date-time' ? 'time' : String(type)
  })
  return named.join(' or ')
}

function row(cells: readonly (string | number)[]): string {
  return `| ${cells.map((cell) => linked(String(cell)).replaceAll('|', '\\|')).join(' | ')} |`
}

/** Other pages are named alike in the document, where links would lead nowhere. */
function linked(text: string): string {
  return text.replaceAll(/(?<![[(\w])(\w+\.md)\b/g, '[$1]($1)')
}

function jsonBlock(value: unknown): string {
  return `\`\`\`json\n${JSON.stringify(value, undefined, 2)}\n\`\`\``
}

function sentence(text: string): string {
  return `${text[0]?.toUpperCase()}${text.slice(1)}.`
}

/** In lines that can be read beside code, as the other pages have them. */
function filled(text: string): string {
  return text.replaceAll(/(.{1,118})(?: |$)/g, '$1\n').trimEnd()
}
