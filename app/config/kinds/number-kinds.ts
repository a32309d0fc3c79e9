import * as v from 'valibot'
import type { Kind } from './kind.ts'

const words = (pattern: RegExp) => v.pipe(v.string(), v.trim(), v.regex(pattern))

interface Range {
  readonly min: number
  readonly max?: number
  /** What is counted, for the message: `seconds`. */
  readonly of?: string
}

function range({ min, max, of }: Range): string {
  const things = of === undefined ? '' : ` of ${of}`
  return max === undefined ? `${things}, ${min} or more` : `${things} from ${min} to ${max}`
}

export function wholeNumber(limits: Range): Kind<number, number | string> {
  const { min, max = Number.MAX_SAFE_INTEGER } = limits
  const text = v.pipe(words(/^\d{1,16}$/), v.transform(Number))
  return {
    schema: v.pipe(v.union([v.number(), text]), v.safeInteger(), v.minValue(min), v.maxValue(max)),
    allowed: `a whole number${range(limits)}`,
    argument: '<n>',
    takes: 'value',
    show: String,
  }
}

/** A whole number, or one word that leaves it to the router: `auto`. */
export function wholeNumberOr<W extends string>(word: W, limits: Range): Kind<number | W, number | string> {
  const number = wholeNumber(limits)
  return {
    ...number,
    schema: v.union([v.pipe(v.string(), v.trim(), v.toLowerCase(), v.literal(word)), number.schema]),
    allowed: `${word}, or ${number.allowed}`,
  }
}

export function decimal(limits: Range): Kind<number, number | string> {
  const { min, max = Number.MAX_VALUE } = limits
  const text = v.pipe(words(/^\d{1,15}(\.\d{1,15})?$/), v.transform(Number))
  return {
    schema: v.pipe(v.union([v.number(), text]), v.finite(), v.minValue(min), v.maxValue(max)),
    allowed: `a number${range(limits)}`,
    argument: '<n>',
    takes: 'value',
    show: (value) => {
      const text = String(value)
      return text.includes('e') ? value.toFixed(15).replace(/0+$/, '') : text
    },
  }
}

/** A duration. A runtime's timers end at 2^31 ms (24.8 days): anything near would fire at once. */
export function seconds({ min = 0.001 }: Partial<Range> = {}): Kind<number, number | string> {
  return decimal({ min, max: 1_000_000, of: 'seconds' })
}

const units: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  ki: 2 ** 10,
  mi: 2 ** 20,
  gi: 2 ** 30,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
}

/** A size in bytes; `64MiB` and `10MB` are understood. */
export function bytes({ min, max }: { min: number; max: number }): Kind<number, number | string> {
  const text = v.pipe(
    words(/^\d{1,16}(\.\d{1,6})?\s*([kmg]i?b|[kmg]i|b)?$/i),
    v.transform((value) => {
      const unit = value.replace(/^[\d.\s]+/, '').toLowerCase()
      return Number.parseFloat(value) * (units[unit] ?? Number.NaN)
    }),
  )
  return {
    schema: v.pipe(v.union([v.number(), text]), v.safeInteger(), v.minValue(min), v.maxValue(max)),
    allowed: `a size from ${showBytes(min)} to ${showBytes(max)}, in bytes or as 64MiB, 10MB`,
    argument: '<size>',
    takes: 'value',
    show: showBytes,
  }
}

/** A size, or one word that leaves it to the router: `auto`. */
export function bytesOr<W extends string>(
  word: W,
  limits: { min: number; max: number },
): Kind<number | W, number | string> {
  const size = bytes(limits)
  return {
    ...size,
    schema: v.union([v.pipe(v.string(), v.trim(), v.toLowerCase(), v.literal(word)), size.schema]),
    allowed: `${word}, or ${size.allowed}`,
    show: (value) => (typeof value === 'number' ? size.show(value) : value),
  }
}

function showBytes(value: number): string {
  for (const unit of ['GiB', 'MiB', 'KiB']) {
    const size = units[unit.toLowerCase()] ?? 1
    if (value > 0 && value % size === 0) return `${value / size}${unit}`
  }
  return String(value)
}
