import type { Source } from '../source.ts'

/** The workers of the configuration: known at once, for good. */
export function staticSource(name: string, urls: readonly string[]): Source {
  return {
    name,
    fixed: true,
    start: (report) => report.found(urls.map((url) => ({ url }))),
    stop() {},
  }
}
