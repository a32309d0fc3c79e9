/** Rules for what reaches the router and what the router reaches. */

import type { INetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1/NetworkPolicy'
import type { Deployed } from './k8s-deployed.ts'
import { ofKind } from './k8s-manifests.ts'
import type { Rule } from './k8s-rule.ts'

type Labels = Readonly<Record<string, string>>
type Spec = NonNullable<INetworkPolicy['spec']>
type Egress = NonNullable<Spec['egress']>[number]
type Ingress = NonNullable<Spec['ingress']>[number]

const nodePorts = [
  { name: 'vllm-router', port: 8080, nodePort: 30_090 },
  { name: 'vllm-router-metrics', port: 29_000, nodePort: 30_091 },
]

export function selects(selector: Labels | undefined, labels: Labels): boolean {
  const wanted = Object.entries(selector ?? {})
  return wanted.length > 0 && wanted.every(([key, value]) => labels[key] === value)
}

function policies({ manifests, podLabels }: Deployed): readonly Spec[] {
  return ofKind(manifests, 'NetworkPolicy')
    .flatMap(({ spec }) => spec ?? [])
    .filter(({ podSelector }) => selects(podSelector?.matchLabels, podLabels))
}

function egress(deployed: Deployed): readonly Egress[] {
  return policies(deployed).flatMap((policy) => policy.egress ?? [])
}

function isEverywhere({ ipBlock }: { ipBlock?: { cidr: string } }): boolean {
  return ipBlock?.cidr.endsWith('/0') ?? false
}

function portsOf(rule: Egress | Ingress): readonly (string | number | undefined)[] {
  return rule.ports?.map(({ port }) => port) ?? []
}

export const networkRules: readonly Rule[] = [
  {
    name: 'node ports',
    because: 'the API is at 30090 and the metrics at 30091 of every node',
    *check({ manifests }) {
      for (const { name, port, nodePort } of nodePorts) {
        const service = ofKind(manifests, 'Service').find(({ metadata }) => metadata?.name === name)?.spec
        const said = JSON.stringify([service?.type, service?.ports?.map((it) => [it.port, it.nodePort])])
        const due = JSON.stringify(['NodePort', [[port, nodePort]]])
        if (said !== due) yield `${name}: ${said} instead of ${due}`
      }
    },
  },
  {
    name: 'services reach the pods',
    because: 'a selector or a port name that fits nothing is an empty Service, without any error',
    *check({ manifests, podLabels, container, config }) {
      const own = new Map(container.ports?.map(({ name, containerPort }) => [name, containerPort]))
      if (own.get('api') !== config.port || own.get('operations') !== config.prometheusPort)
        yield 'the ports of the container are not those of the configuration'
      for (const { metadata, spec } of ofKind(manifests, 'Service')) {
        if (!selects(spec?.selector, podLabels)) yield `${metadata?.name} selects no router`
        for (const { port, targetPort } of spec?.ports ?? [])
          if (own.get(String(targetPort)) !== port)
            yield `${metadata?.name}: no port ${targetPort} for ${port}`
      }
    },
  },
  {
    name: 'metrics without workers',
    because: 'a router that is not ready is the one whose metrics matter',
    *check({ manifests }) {
      const service = ofKind(manifests, 'Service').find(
        ({ metadata }) => metadata?.name === 'vllm-router-metrics',
      )
      if (service?.spec?.publishNotReadyAddresses !== true) yield 'routers that are not ready are left out'
    },
  },
  {
    name: 'a policy in both directions',
    because: 'a direction that no policy names is open',
    *check(deployed) {
      const types = new Set(policies(deployed).flatMap(({ policyTypes }) => policyTypes ?? []))
      for (const type of ['Ingress', 'Egress'] as const) if (!types.has(type)) yield `none for ${type}`
    },
  },
  {
    name: 'every way has an end',
    because: 'a rule without peers or ports means everybody, or everything',
    *check(deployed) {
      for (const policy of policies(deployed)) {
        const ways = [
          ...(policy.ingress ?? []).map((rule) => [rule.from ?? [], rule] as const),
          ...(policy.egress ?? []).map((rule) => [rule.to ?? [], rule] as const),
        ]
        for (const [peers, rule] of ways)
          if (peers.length === 0 || portsOf(rule).length === 0) yield JSON.stringify(rule)
      }
    },
  },
  {
    name: 'metrics and admin from monitoring only',
    because: 'the operations port tells of all workers, and with the key it changes them',
    *check(deployed) {
      const rules = policies(deployed).flatMap(({ ingress = [] }) => ingress)
      const open = rules.filter((rule) =>
        portsOf(rule).some((port) => port === 'operations' || port === 29_000),
      )
      if (open.length === 0) yield 'monitoring cannot scrape'
      for (const { from = [] } of open)
        for (const peer of from)
          if (peer.namespaceSelector?.matchLabels?.['kubernetes.io/metadata.name'] !== 'monitoring')
            yield JSON.stringify(peer)
    },
  },
  {
    name: 'the API is reached',
    because: 'a policy for the router that leaves its API out closes it',
    *check(deployed) {
      const rules = policies(deployed).flatMap(({ ingress = [] }) => ingress)
      if (!rules.some((rule) => portsOf(rule).includes('api'))) yield 'nobody may connect'
    },
  },
  {
    name: 'names can be resolved',
    because: 'without DNS no worker has an address',
    *check(deployed) {
      const dns = egress(deployed)
        .flatMap(({ ports = [] }) => ports)
        .filter(({ port }) => port === 53)
      const protocols = dns.map(({ protocol = 'TCP' }) => protocol).sort()
      if (protocols.join() !== 'TCP,UDP') yield `port 53 over ${protocols.join()}`
    },
  },
  {
    name: 'workers are reached',
    because: 'a worker on a port that the policy does not know looks like a dead one',
    *check(deployed) {
      const { config } = deployed
      const ports = config.serviceDiscovery
        ? [Number(config.serviceDiscoveryPort)]
        : config.workerUrls.map((url) => Number(new URL(url).port || 80))
      const open = new Set(
        egress(deployed)
          .filter(({ to = [] }) =>
            to.some(({ podSelector }) => podSelector?.matchLabels?.['app.kubernetes.io/name'] === 'vllm'),
          )
          .flatMap(portsOf),
      )
      if (ports.length === 0) yield 'no worker is configured'
      for (const port of new Set(ports)) if (!open.has(port)) yield `port ${port} of the workers is closed`
    },
  },
  {
    name: 'nowhere else',
    because: 'only the API server has no label, and only discovery talks to it',
    *check(deployed) {
      for (const rule of egress(deployed)) {
        if (!rule.to?.some(isEverywhere)) continue
        const ports = portsOf(rule)
        if (!deployed.config.serviceDiscovery) yield `without discovery: ${JSON.stringify(rule)}`
        else if (ports.some((port) => port !== 443 && port !== 6443)) yield `ports ${ports.join()}`
      }
    },
  },
]
