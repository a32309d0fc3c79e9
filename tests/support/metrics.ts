/** Reads the Prometheus text format as far as tests need it: names, labels, values, HELP and TYPE. */

export interface Sample {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

export interface Metrics {
  readonly samples: readonly Sample[]
  /** By metric family: counter, gauge, histogram, summary, untyped. */
  readonly types: ReadonlyMap<string, string>
  readonly help: ReadonlyMap<string, string>
}

type Labels = Readonly<Record<string, string | number>>

/** Throws on a line that is no Prometheus text: a scrape that a Prometheus server would refuse must fail the test. */
export function parseMetrics(text: string): Metrics {
  const samples: Sample[] = []
  const types = new Map<string, string>()
  const help = new Map<string, string>()
  for (const line of text.split('\n')) {
    if (line.trim() === '') continue
    const comment = /^# (HELP|TYPE) ([a-zA-Z_:][\w:]*) ?(.*)$/.exec(line)
    if (comment) (comment[1] === 'HELP' ? help : types).set(comment[2] ?? '', comment[3] ?? '')
    else if (!line.startsWith('#')) samples.push(parseSample(line))
  }
  return { samples, types, help }
}

const sampleLine = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})?[ \t]+(\S+)(?:[ \t]+-?\d+)?$/
const label = /([a-zA-Z_]\w*)="((?:[^"\\\n]|\\.)*)"(,|$)/y

function parseSample(line: string): Sample {
  const match = sampleLine.exec(line)
  if (!match) throw new Error(`not a line of Prometheus text: ${line}`)
  const value = parseValue(match[3] ?? '')
  if (value === undefined) throw new Error(`not a value of Prometheus text: ${line}`)
  return { name: match[1] ?? '', labels: parseLabels(match[2] ?? '', line), value }
}

function parseLabels(text: string, line: string): Record<string, string> {
  const labels: Record<string, string> = {}
  label.lastIndex = 0
  let end = 0
  while (end < text.length) {
    const match = label.exec(text)
    if (!match) throw new Error(`not the labels of Prometheus text: ${line}`)
    labels[match[1] ?? ''] = (match[2] ?? '').replace(/\\(.)/g, (_all, c: string) => (c === 'n' ? '\n' : c))
    end = label.lastIndex
  }
  return labels
}

function parseValue(text: string): number | undefined {
  if (/^[+-]?Inf$/.test(text))
    return text.startsWith('-') ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY
  if (text === 'NaN') return Number.NaN
  return /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(text) ? Number(text) : undefined
}

/** All samples of that name whose labels include the given ones. */
export function samplesOf(metrics: Metrics, name: string, labels: Labels = {}): Sample[] {
  const wanted = Object.entries(labels)
  return metrics.samples.filter(
    (sample) => sample.name === name && wanted.every(([key, value]) => sample.labels[key] === String(value)),
  )
}

/** The sum over all samples of that name whose labels include the given ones; undefined when there is none. */
export function metricValue(metrics: Metrics, name: string, labels: Labels = {}): number | undefined {
  const found = samplesOf(metrics, name, labels)
  return found.length === 0 ? undefined : found.reduce((sum, sample) => sum + sample.value, 0)
}
