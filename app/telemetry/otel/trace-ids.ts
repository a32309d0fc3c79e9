import { type IdGenerator, RandomIdGenerator } from '@opentelemetry/sdk-trace'

const random = new RandomIdGenerator()

export function newTraceId(): string {
  return random.generateTraceId()
}

export function newSpanId(): string {
  return random.generateSpanId()
}

/** Gives the spans the ids that workers have been told already: a span is made when all of it is known, at its end. */
export class KnownIds implements IdGenerator {
  traceId = ''
  spanId = ''

  generateTraceId(): string {
    return this.traceId
  }

  generateSpanId(): string {
    return this.spanId
  }
}

/** Three hexadecimal digits each: a table that stays in the processor's cache. */
const digits = Array.from({ length: 4096 }, (_, value) => value.toString(16).padStart(3, '0'))
const ofThisProcess = newSpanId()

function threeDigits(): string {
  return digits[(Math.random() * 4096) | 0]!
}

/**
 * The traceparent of a request that is not traced: its trace is unlike any other, as in 60 random bits, but nobody is
 * going to look for it. On Node the SDK's ids take twice as long.
 */
export function untracedParent(): string {
  const own = threeDigits() + threeDigits() + threeDigits() + threeDigits() + threeDigits()
  return `00-${ofThisProcess}1${own}-${ofThisProcess}-00`
}
