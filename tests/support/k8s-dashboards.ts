/** Grafana's dashboards, as far as the tests look into them. */

import { readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { readK8s } from './k8s-manifests.ts'

interface Target {
  readonly expr: string
  readonly legendFormat: string
}

export interface Panel {
  readonly id: number
  readonly type: string
  readonly title: string
  readonly description: string
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number }
  readonly targets: readonly Target[]
}

interface Variable {
  readonly name: string
  readonly type: string
  readonly query: string | { readonly query: string }
}

export interface Dashboard {
  readonly file: string
  readonly uid: string
  readonly title: string
  readonly panels: readonly Panel[]
  readonly templating: { readonly list: readonly Variable[] }
}

const place = 'monitoring/dashboards'

export function readDashboards(): readonly Dashboard[] {
  return readdirSync(fileURLToPath(new URL(`../../k8s/${place}`, import.meta.url)))
    .sort()
    .map((file) => ({ ...(JSON.parse(readK8s(`${place}/${file}`)) as Omit<Dashboard, 'file'>), file }))
}

/** Every query, with the place where it stands. */
export function queriesOf(
  dashboards: readonly Dashboard[],
): readonly (Target & { readonly where: string })[] {
  return dashboards.flatMap(({ file, panels }) =>
    panels.flatMap(({ title, targets }) =>
      targets.map((target) => ({ ...target, where: `${file}: ${title}` })),
    ),
  )
}

/** Queries of the variables: `label_values(series, label)`. */
export function variableQueries(
  dashboards: readonly Dashboard[],
): readonly { readonly where: string; readonly series: string; readonly label: string }[] {
  return dashboards.flatMap(({ file, templating }) =>
    templating.list
      .filter(({ type }) => type === 'query')
      .map(({ name, query }) => {
        const text = typeof query === 'string' ? query : query.query
        const [, series = '', label = ''] = /^label_values\((.*), (\w+)\)$/.exec(text) ?? []
        return { where: `${file}: $${name}`, series, label }
      }),
  )
}

/** The query as Prometheus gets it when all of everything is chosen. */
export function filledIn(expression: string, interval: string): string {
  return expression.replaceAll('$__rate_interval', interval).replace(/\$\w+/g, '.*')
}
