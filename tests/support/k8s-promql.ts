/** Reads PromQL as far as a comparison with the catalogue of metrics needs it: which series, which labels. */

export interface Selector {
  readonly metric: string
  /** Names of the labels that are matched. */
  readonly labels: readonly string[]
}

export interface Query {
  readonly selectors: readonly Selector[]
  /** Labels after by, without, on, ignoring, group_left and group_right. */
  readonly groupings: readonly string[]
}

const strings = /"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'/g
const words = new Set(
  'by without on ignoring group_left group_right and or unless bool offset inf nan start end'.split(' '),
)

export function readQuery(expression: string): Query {
  // Values of matchers could look like anything.
  const text = expression.replace(strings, '""')
  const groupings = [...text.matchAll(/\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)/g)]
  const rest = text
    .replace(/\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)/g, ' ')
    .replace(/\[[^\]]*\]/g, ' ')
  const selectors: Selector[] = []
  for (const [, metric = '', braces, call] of rest.matchAll(
    /(?<![\w.])([a-zA-Z_:][\w:]*)\s*(\{[^}]*\})?(\s*\()?/g,
  )) {
    if (call !== undefined || words.has(metric.toLowerCase())) continue
    const labels = [...(braces ?? '').matchAll(/([a-zA-Z_]\w*)\s*(?:=~|!~|!=|=)/g)].map(
      ([, label = '']) => label,
    )
    selectors.push({ metric, labels })
  }
  return {
    selectors,
    groupings: groupings
      .flatMap(([, list = '']) => list.split(',').map((label) => label.trim()))
      .filter((label) => label !== ''),
  }
}
