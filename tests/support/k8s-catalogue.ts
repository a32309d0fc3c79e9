/** The metrics that the router has, by the names that Prometheus stores, with their labels. */

import { createMetrics } from '../../app/telemetry/metrics.ts'
import { readQuery } from './k8s-promql.ts'

/** What Prometheus adds to every series of a router in a cluster. */
const ofTheScrape = ['job', 'instance', 'namespace', 'pod']

export type Catalogue = ReadonlyMap<string, readonly string[]>

export function routerCatalogue(): Catalogue {
  const { registry } = createMetrics()
  const catalogue = new Map<string, readonly string[]>([['up', []]])
  for (const metric of registry.getMetricsAsArray()) {
    const { name, type, labelNames } = metric as unknown as {
      name: string
      type: unknown
      labelNames: string[]
    }
    if (type !== 'histogram') catalogue.set(name, labelNames)
    else {
      catalogue.set(`${name}_bucket`, [...labelNames, 'le'])
      for (const suffix of ['_sum', '_count']) catalogue.set(`${name}${suffix}`, labelNames)
    }
  }
  return catalogue
}

/** What the expression names and the catalogue does not have, as sentences. */
export function queryFaults(expression: string, catalogue: Catalogue): string[] {
  const { selectors, groupings } = readQuery(expression)
  const faults: string[] = []
  if (selectors.length === 0) faults.push('names no metric')
  const known = new Set(ofTheScrape)
  for (const { metric, labels } of selectors) {
    const own = catalogue.get(metric)
    if (own === undefined) faults.push(`there is no metric ${metric}`)
    for (const label of own ?? []) known.add(label)
    for (const label of labels)
      if (!ofTheScrape.includes(label) && !own?.includes(label))
        faults.push(`${metric} has no label ${label}`)
  }
  for (const label of groupings) if (!known.has(label)) faults.push(`no metric here has the label ${label}`)
  return faults
}

/** Labels that may appear in what the expression gives. */
export function labelsOf(expression: string, catalogue: Catalogue): readonly string[] {
  const { selectors, groupings } = readQuery(expression)
  if (groupings.length > 0) return groupings
  return [...ofTheScrape, ...selectors.flatMap(({ metric }) => catalogue.get(metric) ?? [])]
}
