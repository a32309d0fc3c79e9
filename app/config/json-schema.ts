import { type KeyField, keyFields, limitFields } from './key-fields.ts'
import { kebabCase } from './kinds/setting.ts'
import { switchWords } from './kinds/switch-kinds.ts'
import { type NamedSetting, settings } from './settings.ts'

/** A schema of JSON Schema, draft 7, which editors know best. */
export interface JsonSchema {
  readonly [keyword: string]: unknown
}

/** What may stand instead of a word: what it leads to is known when the file is read. */
const reference: JsonSchema = { type: 'string', pattern: '\\$\\{[^}]*\\}' }

/**
 * Describes the file of `--config`, for editors: keys and words in their usual spelling, what each key does and takes.
 * Values are checked for their type and for closed lists of words; the router checks the rest.
 */
export function configJsonSchema(): JsonSchema {
  const inFile = settings.filter(({ key }) => key !== 'config')
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'Configuration of vllm-router',
    type: 'object',
    additionalProperties: false,
    properties: {
      $schema: { type: 'string' },
      ...Object.fromEntries(inFile.map((entry) => [entry.flag, schemaOf(entry)])),
      keys: keysSchema(),
    },
  }
}

/** Of the list of keys, here and in the file of `--keys-file`. */
function keysSchema(): JsonSchema {
  const limits = {
    description: 'what it may use up; no limit where it is left out',
    ...groupSchema(limitFields),
  }
  return {
    description: 'who may ask for what; nobody else is let in, where there is such a list',
    type: 'array',
    items: { ...groupSchema(keyFields, { limits }), required: ['name'] },
  }
}

function groupSchema(fields: Readonly<Record<string, KeyField>>, more: JsonSchema = {}): JsonSchema {
  const each = Object.entries(fields).map(([key, { kind, help }]) => {
    const { takes, values, allowed, item = allowed } = kind
    const one =
      values === undefined ? { type: ['string', 'number'] } : { anyOf: [{ enum: values }, reference] }
    const many = { type: ['array', 'string'], items: { type: 'string' }, minItems: 1 }
    return [kebabCase(key), { description: `${help}; ${item}`, ...(takes === 'list' ? many : one) }] as const
  })
  return {
    type: 'object',
    additionalProperties: false,
    properties: { ...Object.fromEntries(each), ...more },
  }
}

function schemaOf(entry: NamedSetting): JsonSchema {
  const { kind, help, danger, default: usual } = entry
  const sentences = [help, `allowed: ${kind.allowed}`, danger].filter((text) => text !== undefined)
  return {
    description: sentences.join('; '),
    ...(isInJson(usual) && { default: usual }),
    ...valueSchema(entry),
  }
}

/** JSON has neither undefined nor infinite numbers. */
function isInJson(value: unknown): boolean {
  return value !== undefined && value !== Number.POSITIVE_INFINITY
}

function valueSchema({ kind, default: usual }: NamedSetting): JsonSchema {
  switch (kind.takes) {
    case 'nothing':
      return { anyOf: [{ type: 'boolean' }, { enum: switchWords }, reference] }
    case 'perhaps a value':
      return { type: ['boolean', 'number', 'string'] }
    case 'list':
      return { type: ['array', 'string', 'number'], items: { type: ['string', 'number'] } }
    case 'value': {
      if (kind.values === undefined) return { type: ['string', 'number', 'boolean', 'null'] }
      const absent = usual === undefined ? [kind.show(usual), null] : []
      return { anyOf: [{ enum: [...kind.values, ...absent] }, reference] }
    }
  }
}
