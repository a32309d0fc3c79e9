/** A call of the tool that the request demands, with arguments that are valid JSON for its parameters. */
import { badRequest } from './api-error.ts'
import { isObject, type Json } from './request-body.ts'

export interface ToolCall {
  /** The whole call as JSON text. */
  json: string
  /** The same as deltas of a stream, JSON text, one per output token. The first carries id and name. */
  pieces: readonly string[]
}

/**
 * The call that `tool_choice` demands: of the named function, or of the first tool for "required"; undefined when the
 * answer is text. Throws 400 for a choice that the tools do not hold.
 */
export function toolCallOf(body: Json, id: string): ToolCall | undefined {
  const { tools, tool_choice: choice } = body
  const named = isObject(choice) && isObject(choice.function) ? choice.function.name : undefined
  if (named === undefined && choice !== 'required') return undefined
  const functions = (Array.isArray(tools) ? tools : []).map((tool) =>
    isObject(tool) ? tool.function : undefined,
  )
  const chosen = functions.find((one) => isObject(one) && (named === undefined || one.name === named))
  if (!isObject(chosen)) throw badRequest('tool_choice must name one of tools', 'tool_choice')
  return build(`chatcmpl-tool-${id}`, String(chosen.name), JSON.stringify(example(chosen.parameters)))
}

function build(id: string, name: string, args: string): ToolCall {
  const fn = { name, arguments: args }
  const first = { index: 0, id, type: 'function', function: { name, arguments: '' } }
  const characters = Array.from(args)
  const pieces = [JSON.stringify(first)]
  for (let at = 0; at < characters.length; at += 4) {
    const piece = characters.slice(at, at + 4).join('')
    pieces.push(JSON.stringify({ index: 0, function: { arguments: piece } }))
  }
  return { json: JSON.stringify({ id, type: 'function', function: fn }), pieces }
}

/** A value that a simple JSON schema allows: every property of objects is filled in. */
function example(schema: unknown): unknown {
  if (!isObject(schema)) return {}
  if (Array.isArray(schema.enum)) return schema.enum[0]
  if ('const' in schema) return schema.const
  switch (Array.isArray(schema.type) ? schema.type[0] : schema.type) {
    case 'string':
      return 'example'
    case 'integer':
    case 'number':
      return typeof schema.minimum === 'number' ? schema.minimum : 1
    case 'boolean':
      return true
    case 'null':
      return null
    case 'array':
      return [example(schema.items)]
    default:
      return Object.fromEntries(
        Object.entries(isObject(schema.properties) ? schema.properties : {}).map(([key, value]) => [
          key,
          example(value),
        ]),
      )
  }
}
