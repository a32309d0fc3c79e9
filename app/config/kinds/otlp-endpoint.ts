import type { Parsed } from './kind.ts'

const usualPath = '/v1/traces'

/**
 * Reads the address that traces are sent to. An address without a path gets the usual one: whoever writes
 * `http://collector:4318` does not mean its root.
 */
export function parseOtlpEndpoint(written: string): Parsed<string> {
  if (!/^https?:\/\//i.test(written) || !URL.canParse(written)) return { hint: schemeHint(written) }
  const url = new URL(written)
  if (url.username !== '' || url.password !== '')
    return { hint: 'credentials do not belong into an address: use OTEL_EXPORTER_OTLP_HEADERS' }
  if (/[?#]/.test(written)) return { hint: 'leave out what follows the path' }
  if (url.pathname === '/') url.pathname = usualPath
  return { value: url.href }
}

function schemeHint(written: string): string | undefined {
  const host = /^(?:grpc:\/\/)?([a-z0-9.-]+)(?::\d+)?$/i.exec(written)?.[1]
  if (host === undefined) return undefined
  return `traces go over HTTP, not gRPC: did you mean "http://${host}:4318${usualPath}"?`
}
