import type { JsonSchema } from '../../config/json-schema.ts'

/** A field that may be absent. */
export class Optional {
  readonly schema: JsonSchema

  constructor(schema: JsonSchema) {
    this.schema = schema
  }
}

/** One description for each field of an interface; `Optional` exactly where the field may be absent. */
export type Fields<T> = { readonly [K in keyof T]-?: undefined extends T[K] ? Optional : JsonSchema }

/** Describes an interface: a field that is not described, or is described although it is gone, does not compile. */
export function object<T>(description: string, fields: Fields<T>): JsonSchema {
  const entries = Object.entries<JsonSchema | Optional>(fields)
  const schemas = entries.map(([name, field]) => [name, field instanceof Optional ? field.schema : field])
  return {
    type: 'object',
    description,
    properties: Object.fromEntries(schemas),
    required: entries.filter(([, field]) => !(field instanceof Optional)).map(([name]) => name),
  }
}

/** A string. */
export const text = (description: string): JsonSchema => ({ type: 'string', description })

/** A date and time of RFC 3339, in UTC. */
export const time = (description: string): JsonSchema => ({
  type: 'string',
  format: 'date-time',
  description,
})

export const flag = (description: string): JsonSchema => ({ type: 'boolean', description })

/** A number that is not negative; the description says its unit. */
export const number = (description: string): JsonSchema => ({ type: 'number', minimum: 0, description })

/** A whole number that is not negative. */
export const count = (description: string): JsonSchema => ({ type: 'integer', minimum: 0, description })

export const list = (description: string, items: JsonSchema): JsonSchema => ({
  type: 'array',
  description,
  items,
})

/** One of a closed set of words; each with what it means. */
export function word<T extends string>(
  description: string,
  meanings: Readonly<Record<T, string>>,
): JsonSchema {
  const told = Object.entries<string>(meanings).map(([name, meaning]) =>
    meaning === '' ? `\`${name}\`` : `\`${name}\` (${meaning})`,
  )
  return { type: 'string', enum: Object.keys(meanings), description: `${description}: ${told.join(', ')}` }
}

/** The same, or null. */
export function orNull(schema: JsonSchema): JsonSchema {
  const { $ref, ...rest } = schema
  if ($ref !== undefined) return { ...rest, anyOf: [{ $ref }, { type: 'null' }] }
  const words = schema.enum as readonly string[] | undefined
  return { ...schema, type: [schema.type, 'null'], ...(words && { enum: [...words, null] }) }
}

/** A schema that the document has by name. */
export const ref = (name: string): JsonSchema => ({ $ref: `#/components/schemas/${name}` })
