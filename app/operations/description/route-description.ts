import type { ErrorCode } from '../../../http/errors.ts'
import type { JsonSchema } from '../../config/json-schema.ts'

/** What an answer or a request carries, by media type. */
export type Content = Readonly<Record<string, { readonly schema: JsonSchema; readonly example?: unknown }>>

export interface Parameter {
  readonly in: 'path' | 'query'
  readonly name: string
  readonly required?: true
  readonly schema: JsonSchema
}

/** One method of one path of the operations listener. */
export interface RouteDescription {
  readonly method: 'get' | 'post' | 'patch' | 'delete'
  /** Variable parts in braces: `/workers/{id}`. */
  readonly path: string
  /** What generated clients call it. */
  readonly name: string
  /** What it does, in one line without a full stop. */
  readonly summary: string
  /** Sentences that a reader needs besides. */
  readonly more?: string
  /** Taken from anybody who reaches the listener; all others are admin routes, with their key and checks. */
  readonly open?: true
  readonly parameters?: readonly Parameter[]
  /** The JSON body that it takes. */
  readonly body?: Content[string]
  /** It takes any body, and says what is wrong with it in its answer. */
  readonly lenient?: true
  /** Answers by status, errors left out. */
  readonly answers: Readonly<Record<number, { readonly when: string; readonly content?: Content }>>
  /** Errors of its own, each with when it comes; those of every admin route are added. */
  readonly errors?: Readonly<Partial<Record<ErrorCode, string>>>
}

export interface RouteGroup {
  readonly title: string
  readonly about: string
  readonly routes: readonly RouteDescription[]
}

/** Content of JSON. */
export function json(schema: JsonSchema, example?: unknown): Content {
  return { 'application/json': { schema, ...(example !== undefined && { example }) } }
}

/** Content of plain text, with an example of it. */
export function plain(example: string): Content {
  return { 'text/plain': { schema: { type: 'string' }, example } }
}
