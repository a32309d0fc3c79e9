import type { Deployed } from './k8s-deployed.ts'

/** Something that the manifests must keep. It gives a sentence for each breach. */
export interface Rule {
  readonly name: string
  readonly because: string
  check(deployed: Deployed): Iterable<string>
}

export function breachesOf(deployed: Deployed, rules: readonly Rule[]): string[] {
  return rules.flatMap(({ name, check }) => [...check(deployed)].map((breach) => `${name}: ${breach}`))
}
