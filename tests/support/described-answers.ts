/** The OpenAPI document of the operations listener, as the tests hold answers against it. */

import { Ajv2020 } from 'ajv/dist/2020.js'
import formats from 'ajv-formats'
import { openApiDocument } from '../../app/operations/description/openapi.ts'

type Json = Readonly<Record<string, unknown>>

export interface DescribedContent {
  /** `GET /workers 200 application/json`. */
  readonly where: string
  /** Of its schema within the document. */
  readonly pointer: string
  readonly example: unknown
}

/** One answer that the document has: by its content, or by the code of its error. */
export interface DescribedAnswer {
  /** `GET /workers/{id}`. */
  readonly route: string
  readonly status: number
  /** Undefined for one without a body. */
  readonly type: string | undefined
  /** Of an error: each code is an answer of its own. */
  readonly code: string | undefined
  readonly pointer: string | undefined
}

interface Operation {
  readonly security?: unknown
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly example?: unknown }>> }
  readonly responses: Readonly<
    Record<string, { readonly description: string; readonly content?: Readonly<Record<string, Json>> }>
  >
}

/** Each method of each path. */
export function operations(): readonly (readonly [method: string, path: string, operation: Operation])[] {
  const paths = openApiDocument().paths as Readonly<Record<string, Readonly<Record<string, Operation>>>>
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => [method.toUpperCase(), path, operation] as const),
  )
}

/** Everything that the document says of bodies, of requests and of answers. */
export function describedContent(): readonly DescribedContent[] {
  return operations().flatMap(([method, path, { requestBody, responses }]) => {
    const base = operationPointer(method, path)
    const bodies = [['requestBody', requestBody] as const]
    const answers = Object.entries(responses).map(([status, one]) => [`responses/${status}`, one] as const)
    return [...bodies, ...answers].flatMap(([place, part]) =>
      Object.entries(part?.content ?? {}).map(([type, { example }]) => ({
        where: `${method} ${path} ${place.split('/').at(-1)} ${type}`,
        pointer: `${base}/${place}/content/${type.replaceAll('/', '~1')}/schema`,
        example,
      })),
    )
  })
}

/** Every answer that the document has. */
export function describedAnswers(): readonly DescribedAnswer[] {
  return operations().flatMap(([method, path, { responses }]) =>
    Object.entries(responses).flatMap(([status, { description, content = {} }]): DescribedAnswer[] => {
      // Whatever nobody could foresee.
      if (status === 'default') return []
      const route = { route: `${method} ${path}`, status: Number(status) }
      const codes = [...description.matchAll(/^`(\w+)`: /gm)].map(([, code]) => code)
      const contents = Object.keys(content).map((type) => ({
        type,
        pointer: `${operationPointer(method, path)}/responses/${status}/content/${type.replaceAll('/', '~1')}/schema`,
      }))
      const [first] = contents
      if (first === undefined) return [{ ...route, type: undefined, code: undefined, pointer: undefined }]
      if (codes.length > 0) return codes.map((code) => ({ ...route, ...first, code }))
      return contents.map((one) => ({ ...route, ...one, code: undefined }))
    }),
  )
}

function operationPointer(method: string, path: string): string {
  return `/paths/${path.replaceAll('~', '~0').replaceAll('/', '~1')}/${method.toLowerCase()}`
}

/**
 * Holds values against the document, more strictly than the document is: a field that it does not name is a fault.
 * Clients must live with new fields; the description must not lack one.
 */
export function strictDescription() {
  const ajv = new Ajv2020({ strict: true, allowUnionTypes: true, allErrors: true })
  formats.default(ajv)
  ajv.addVocabulary(['openapi', 'info', 'servers', 'tags', 'paths', 'components', 'example'])
  ajv.addSchema(closed(openApiDocument()) as object, 'openapi.json')
  return {
    /** What is wrong with it; empty where nothing is. */
    faults(pointer: string, value: unknown): string {
      const validate = ajv.getSchema(
        `openapi.json#${encodeURI(pointer).replaceAll('%7B', '{').replaceAll('%7D', '}')}`,
      )
      if (validate === undefined) throw new Error(`the document has no ${pointer}`)
      // As it is on the wire.
      const sent = JSON.parse(JSON.stringify(value))
      return validate(sent) ? '' : ajv.errorsText(validate.errors)
    },
  }
}

function closed(part: unknown): unknown {
  if (Array.isArray(part)) return part.map(closed)
  if (typeof part !== 'object' || part === null) return part
  const inner = Object.fromEntries(Object.entries(part).map(([key, value]) => [key, closed(value)]))
  return 'properties' in inner && inner.type !== undefined ? { ...inner, additionalProperties: false } : inner
}
