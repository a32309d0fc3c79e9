/** Reads faults from flags, headers and JSON bodies. Everything from outside goes through here. */
import { type Fault, type FaultKind, type FaultPoint, faultKinds, faultPoints } from './fault.ts'
import { isObject, type Json } from './request-body.ts'

/**
 * Reads a fault from JSON or from its short name:
 * `status:503`, `reset`, `close:after-head`, `hang:after-tokens:3`, `die:mid-event`, `no-done`, `error-event:2`,
 * `refuse`, `refuse:500`, `slow-health:1500`, `health-status:503`. Throws a RangeError that says what is wrong.
 */
export function parseFault(text: string): Fault {
  const trimmed = text.trim()
  if (!trimmed.startsWith('{')) return checkFault(fromShortName(trimmed))
  try {
    return checkFault(JSON.parse(trimmed))
  } catch (error) {
    if (error instanceof RangeError) throw error
    throw new RangeError(`fault: not valid JSON: ${trimmed}`)
  }
}

function fromShortName(name: string): Json {
  const [kind = '', first, second] = name.split(':')
  const value = first === undefined ? undefined : Number(first)
  switch (kind) {
    case 'status':
    case 'health-status':
      return { kind, status: value }
    case 'slow-health':
      return { kind, ms: value }
    case 'refuse':
      return value === undefined ? { kind } : { kind, ms: value }
    case 'error-event':
      return value === undefined ? { kind } : { kind, tokens: value }
    default:
      return {
        kind,
        ...(first !== undefined && { at: first }),
        ...(second !== undefined && { tokens: Number(second) }),
      }
  }
}

/** Checks a fault that came as JSON. Throws a RangeError that says what is wrong. */
export function checkFault(value: unknown): Fault {
  if (!isObject(value))
    throw new RangeError('fault: must be an object or a short name such as "reset:after-head"')
  const { kind, at, path } = value
  if (!faultKinds.includes(kind as FaultKind)) {
    throw new RangeError(`fault: unknown kind "${String(kind)}"; known are ${faultKinds.join(', ')}`)
  }
  if (at !== undefined && !faultPoints.includes(at as FaultPoint)) {
    throw new RangeError(`fault: unknown point "${String(at)}"; known are ${faultPoints.join(', ')}`)
  }
  if (path !== undefined && typeof path !== 'string') throw new RangeError('fault: path must be a string')
  checkNumbers(value)
  return value as unknown as Fault
}

function checkNumbers(fault: Json): void {
  const { kind } = fault
  const needed =
    kind === 'slow-health' ? 'ms' : kind === 'status' || kind === 'health-status' ? 'status' : undefined
  if (needed !== undefined && fault[needed] === undefined)
    throw new RangeError(`fault: ${kind} needs ${needed}`)
  const limits: [string, number, number][] = [
    ['status', 200, 599],
    ['probability', 0, 1],
    ['times', 1, Number.POSITIVE_INFINITY],
    ['tokens', 0, Number.POSITIVE_INFINITY],
    ['ms', 0, Number.POSITIVE_INFINITY],
    ['delayMs', 0, Number.POSITIVE_INFINITY],
  ]
  for (const [name, least, most] of limits) {
    const value = fault[name]
    if (value === undefined) continue
    if (typeof value !== 'number' || !(value >= least && value <= most)) {
      throw new RangeError(
        `fault: ${name} must be a number from ${least} to ${most}, got ${JSON.stringify(value)}`,
      )
    }
  }
}
