import type { MiddlewareHandler } from 'hono'
import * as v from 'valibot'
import { RouterError } from '../http/errors.ts'
import { headerOf } from '../http/incoming.ts'
import type { JsonObject, JsonValue } from '../http/json/json.ts'
import { isObject } from '../http/json/json.ts'
import { lookIntoJson } from '../http/json/look-into-json.ts'
import { type Payload, readJson } from '../http/json/parse-json.ts'
import type { GatewayEnv } from './gateway-env.ts'
import type { BodySchema } from './schemas/index.ts'

export interface ValidateOptions {
  /** One of `bodySchemas`. */
  readonly schema: BodySchema
  /**
   * Default false. True puts one character in place of each long string of a large payload, which then costs a tenth: for
   * when nobody reads the text in it.
   */
  readonly outline?: boolean
}

/**
 * Refuses a JSON body that is surely wrong, before a worker is bothered. Expects `readBody` before it.
 *
 * The parsed object goes to `c.get('payload')`, so that nobody parses it again; the bytes in `c.get('body')` stay as
 * they are, and fields the schema does not name always pass.
 *
 * @throws RouterError `unsupported_media_type`; `invalid_json`; `invalid_request` with the path of the field as `param`.
 */
export function validate({ schema, outline = false }: ValidateOptions): MiddlewareHandler<GatewayEnv> {
  return function validate(c, next) {
    checkMediaType(headerOf(c.env.incoming.headers, 'content-type'))
    const read = readJson(c.get('body'), outline)
    return read instanceof Promise ? read.then(check) : check(read)

    function check({ value, skimmed }: Payload): Promise<void> {
      if (skimmed === undefined) checkPayload(value, schema)
      c.set('payload', value as JsonObject)
      return next()
    }
  }
}

/** The same for each POST route that has a schema, by path. On all others, a body that is JSON is looked into. */
export function validateByPath(
  schemas: Readonly<Record<string, BodySchema>>,
  options: Omit<ValidateOptions, 'schema'> = {},
): MiddlewareHandler<GatewayEnv> {
  const checks = new Map(
    Object.entries(schemas).map(([path, schema]) => [path, validate({ ...options, schema })]),
  )
  return function validateByPath(c, next) {
    const check = c.req.method === 'POST' ? checks.get(c.req.path) : undefined
    if (check !== undefined) return check(c, next)
    const payload = lookIntoJson(c.get('body'), options.outline === true)
    return payload instanceof Promise ? payload.then(keep) : keep(payload)

    function keep(found: JsonObject | undefined): Promise<void> {
      if (found !== undefined) c.set('payload', found)
      return next()
    }
  }
}

/** A body without a type is taken for JSON; parameters such as `charset` are left to the worker. */
function checkMediaType(contentType: string | undefined): void {
  if (contentType === undefined || contentType === 'application/json') return
  const type = contentType.split(';', 1)[0]?.trim().toLowerCase() ?? ''
  if (type === '' || type === 'application/json' || type.endsWith('+json')) return
  throw new RouterError(
    'unsupported_media_type',
    'This route takes JSON: send the header "Content-Type: application/json" (curl sends another one unless told).',
  )
}

const firstFaultOnly = { abortEarly: true }

/** @throws RouterError `invalid_request`. */
export function checkPayload(payload: JsonValue, schema: BodySchema): asserts payload is JsonObject {
  if (!isObject(payload)) {
    throw new RouterError(
      'invalid_request',
      `The request body must be a JSON object, received ${kindOf(payload)}.`,
    )
  }
  // `v.object` copies only the fields it names, where `v.looseObject` copies all; the copy is dropped.
  const { issues } = v.safeParse(schema, payload, firstFaultOnly)
  if (issues !== undefined) throw invalidRequest(issues[0], schema)
}

function invalidRequest(issue: v.BaseIssue<unknown>, schema: BodySchema): RouterError {
  const keys = issue.path?.map((step) => step.key) ?? []
  const param = keys
    .map((key, i) => (typeof key === 'number' ? `[${key}]` : i === 0 ? key : `.${key}`))
    .join('')
  const fault =
    issue.type === 'object'
      ? `\`${param}\` is missing: it must be ${allowedIn(schema, param)}.`
      : `\`${param}\` must be ${issue.message}, received ${received(issue.input, keys)}.`
  return new RouterError('invalid_request', fault, { param })
}

/** Valibot's own issue for a missing key does not say what the field should have been. */
function allowedIn(schema: BodySchema, key: string): string {
  const entry = schema.entries[key]
  return entry !== undefined && 'message' in entry ? String(entry.message) : 'present'
}

/** These hold somebody's text, be it as token ids. */
const textFields: ReadonlySet<unknown> = new Set(['messages', 'prompt', 'input', 'system'])

/** The kind of a value; the value itself only for a number that is a setting. */
function received(value: unknown, [field]: readonly unknown[]): string {
  return typeof value === 'number' && !textFields.has(field) ? String(value) : kindOf(value)
}

function kindOf(value: unknown): string {
  if (value === undefined) return 'nothing'
  if (value === null) return 'null'
  if (Array.isArray(value)) return value.length === 0 ? 'an empty array' : 'an array'
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}
