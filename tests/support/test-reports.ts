/** Counts of tests, read from the machine's report of a run: TAP from Node, JUnit from Bun. */

export interface Counts {
  readonly passed: number
  readonly failed: number
  readonly skipped: number
}

export const noCounts: Counts = { passed: 0, failed: 0, skipped: 0 }

export function sum(all: readonly Counts[]): Counts {
  return all.reduce(
    (a, b) => ({ passed: a.passed + b.passed, failed: a.failed + b.failed, skipped: a.skipped + b.skipped }),
    noCounts,
  )
}

/** undefined: the report is missing or has no end, as after a crash. */
export function countsOfTap(report: string): Counts | undefined {
  const total = (name: string): number => Number(new RegExp(`^# ${name} (\\d+)$`, 'm').exec(report)?.[1])
  const [passed, failed, cancelled] = [total('pass'), total('fail'), total('cancelled')]
  const skipped = total('skipped') + total('todo')
  if ([passed, failed, cancelled, skipped].some(Number.isNaN)) return undefined
  // A failing hook at the top of a file fails the file, and is in none of Node's totals.
  const outside = failed + cancelled === 0 && /^not ok (?!.*# (TODO|SKIP))/m.test(report) ? 1 : 0
  return { passed, failed: failed + cancelled + outside, skipped }
}

/** undefined: the report is missing or broken. */
export function countsOfJunit(report: string): Counts | undefined {
  const root = /<testsuites [^>]*>/.exec(report)?.[0]
  if (root === undefined || !report.includes('</testsuites>')) return undefined
  const total = (name: string): number => Number(new RegExp(` ${name}="(\\d+)"`).exec(root)?.[1])
  const [tests, failed, skipped] = [
    total('tests'),
    total('failures') + (total('errors') || 0),
    total('skipped'),
  ]
  if ([tests, failed, skipped].some(Number.isNaN)) return undefined
  return { passed: tests - failed - skipped, failed, skipped }
}

/** `3 passed, 0 failed`, and the skipped ones when there are some. */
export function wordsOf({ passed, failed, skipped }: Counts): string {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`
}
