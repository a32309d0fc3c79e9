/** The example of a worker: watched by probes of its own, and stopped as slowly as its requests need. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { IContainer } from 'kubernetes-models/v1/Container'
import { preStopSeconds } from '../support/k8s-deployed.ts'
import { ofKind, parseManifests, readK8s, theOne } from '../support/k8s-manifests.ts'
import { selects } from '../support/k8s-network-rules.ts'

const files = ['deployment.yaml', 'service.yaml', 'network-policy.yaml']
const committed = files.map((file) => readK8s(`vllm/${file}`)).join('---\n')

interface Breach {
  readonly rule: string
  readonly said: unknown
}

function numberOf(container: IContainer, flag: string): number {
  return Number(container.args?.find((arg) => arg.startsWith(`${flag}=`))?.slice(flag.length + 1))
}

function patience(probe: IContainer['livenessProbe']): number {
  return (probe?.periodSeconds ?? 10) * (probe?.failureThreshold ?? 3)
}

/** Every breach in the manifests of a worker, with what was found instead. */
function breachesIn(text: string): Breach[] {
  const manifests = parseManifests(text)
  const { spec } = theOne(manifests, 'Deployment')
  const template = spec?.template
  const pod = template?.spec
  const [container] = pod?.containers ?? []
  if (pod === undefined || container === undefined) throw new Error('no container')
  const labels = template?.metadata?.labels ?? {}
  const service = theOne(manifests, 'Service')
  const policy = theOne(manifests, 'NetworkPolicy')
  const stopping = preStopSeconds(container) + numberOf(container, '--shutdown-timeout') + 10
  const { startupProbe, livenessProbe, readinessProbe } = container
  const probed = [startupProbe, livenessProbe, readinessProbe].map((probe) => probe?.httpGet?.path)
  const port = container.ports?.find(({ name }) => name === 'http')?.containerPort
  const name = labels['app.kubernetes.io/name']
  const peers = policy.spec?.ingress?.flatMap(({ from = [{}] }) => from) ?? []
  const open = peers.filter(
    ({ podSelector, namespaceSelector }) => !podSelector && !namespaceSelector?.matchLabels,
  )
  const checks: readonly (readonly [rule: string, kept: boolean, said: unknown])[] = [
    ['its own probes', probed.every((path) => path === '/health'), probed],
    ['time to load a model', patience(startupProbe) >= 1800, patience(startupProbe)],
    ['patience with a long prefill', patience(livenessProbe) >= 120, patience(livenessProbe)],
    [
      'time to stop',
      pod.terminationGracePeriodSeconds === stopping,
      [pod.terminationGracePeriodSeconds, stopping],
    ],
    ['a pinned image', /^vllm\/vllm-openai:v\d+\.\d+\.\d+$/.test(container.image ?? ''), container.image],
    ['one port', port === 8000 && numberOf(container, '--port') === port, port],
    ['the Service reaches it', selects(service.spec?.selector, labels), service.spec?.selector],
    ['the Service has its port', service.spec?.ports?.[0]?.targetPort === 'http', service.spec?.ports],
    [
      'discovery and policies know it',
      name === 'vllm' && service.metadata?.labels?.['app.kubernetes.io/name'] === name,
      labels,
    ],
    [
      'only routers and monitoring reach it',
      selects(policy.spec?.podSelector?.matchLabels, labels) && peers.length > 0 && open.length === 0,
      peers,
    ],
    ['no token', pod.automountServiceAccountToken === false, pod.automountServiceAccountToken],
    [
      'no new privileges',
      container.securityContext?.allowPrivilegeEscalation === false,
      container.securityContext,
    ],
    ['a GPU', container.resources?.limits?.['nvidia.com/gpu'] !== undefined, container.resources],
  ]
  return checks.filter(([, kept]) => !kept).map(([rule, , said]) => ({ rule, said }))
}

const broken: readonly (readonly [rule: string, from: string | RegExp, to: string])[] = [
  ['its own probes', /(readinessProbe:[^?]*?path: )\/health/, '$1/ready'],
  ['time to load a model', 'failureThreshold: 360', 'failureThreshold: 30'],
  ['patience with a long prefill', 'periodSeconds: 20', 'periodSeconds: 5'],
  ['time to stop', 'terminationGracePeriodSeconds: 200', 'terminationGracePeriodSeconds: 30'],
  ['time to stop', '            - --shutdown-timeout=180\n', ''],
  ['a pinned image', /image: (.*):v.*/, 'image: $1:latest'],
  ['one port', '--port=8000', '--port=8001'],
  [
    'the Service reaches it',
    /( {2}selector:\n {4}app.kubernetes.io\/instance: ).*\n {2}ports/,
    '$1other\n  ports',
  ],
  ['the Service has its port', 'targetPort: http', 'targetPort: 80'],
  [
    'discovery and policies know it',
    /(kind: Service\nmetadata:[^?]*?app.kubernetes.io\/name: )vllm/,
    '$1other',
  ],
  [
    'only routers and monitoring reach it',
    /- namespaceSelector:\n.*\n.*monitoring/,
    '- namespaceSelector: {}',
  ],
  ['no token', 'automountServiceAccountToken: false', 'automountServiceAccountToken: true'],
  ['no new privileges', 'allowPrivilegeEscalation: false', 'allowPrivilegeEscalation: true'],
  ['a GPU', /limits:\n(.*)\n.*gpu: "1"/, 'limits:\n$1'],
]

describe('the example of a vLLM server', () => {
  test('keeps the rules', () => {
    assert.deepEqual(breachesIn(committed), [])
    assert.equal(ofKind(parseManifests(committed), 'Deployment').length, 1)
  })

  for (const [rule, from, to] of broken)
    test(`${rule}: refuses ${to.trim().split('\n').at(-1) || 'none'}`, () => {
      const text = committed.replace(from, to)
      assert.notEqual(text, committed)
      assert.deepEqual(
        breachesIn(text).map((breach) => breach.rule),
        [rule],
      )
    })
})
