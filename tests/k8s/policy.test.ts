/** What the manifests must keep, each rule with a name; and for each rule manifests that break it are refused. */

import assert from 'node:assert/strict'
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { readDeployed } from '../support/k8s-deployed.ts'
import { fleetRules } from '../support/k8s-fleet-rules.ts'
import {
  parseManifests,
  readK8s,
  render,
  rendered,
  singleFiles,
  withoutKubectl,
} from '../support/k8s-manifests.ts'
import { networkRules } from '../support/k8s-network-rules.ts'
import { podRules } from '../support/k8s-pod-rules.ts'
import { breachesOf } from '../support/k8s-rule.ts'

const timeout = 30_000
const rules = [...podRules, ...networkRules, ...fleetRules]
const allNodes = readK8s('vllm-router-all-nodes.yaml')

async function breachesIn(text: string): Promise<string[]> {
  return breachesOf(await readDeployed(parseManifests(text)), rules)
}

describe('the manifests keep the rules', () => {
  for (const file of Object.keys(singleFiles))
    test(file, async () => {
      assert.deepEqual(await breachesIn(readK8s(file)), [])
    })

  for (const place of rendered.filter((name) => name.startsWith('overlays/')))
    test(place, { timeout, skip: withoutKubectl }, async () => {
      assert.deepEqual(await breachesIn(render(place)), [])
    })
})

type Change = readonly [from: string | RegExp, to: string]

/** By rule: changes, each of which it alone must refuse. */
const broken: Readonly<Record<string, readonly Change[]>> = {
  'runs as uid 10001': [
    ['runAsNonRoot: true', 'runAsNonRoot: false'],
    ['runAsUser: 10001', 'runAsUser: 0'],
  ],
  'writes nothing': [
    ['readOnlyRootFilesystem: true', 'readOnlyRootFilesystem: false'],
    ['          readOnly: true\n', ''],
    ['      volumes:\n', '      volumes:\n      - name: scratch\n        emptyDir: {}\n'],
  ],
  'gains no privileges': [
    ['allowPrivilegeEscalation: false', 'allowPrivilegeEscalation: true'],
    ['allowPrivilegeEscalation: false', 'allowPrivilegeEscalation: false\n          privileged: true'],
  ],
  'has no capabilities': [
    ['drop:\n            - ALL', 'drop:\n            - NET_RAW'],
    ['capabilities:\n', 'capabilities:\n            add: [NET_BIND_SERVICE]\n'],
  ],
  seccomp: [['type: RuntimeDefault', 'type: Unconfined']],
  'keeps off the node': [
    ['      enableServiceLinks', '      hostNetwork: true\n      enableServiceLinks'],
    ['containerPort: 8080', 'containerPort: 8080\n          hostPort: 8080'],
  ],
  'a token only for discovery': [
    ['      automountServiceAccountToken: false', '      automountServiceAccountToken: true'],
    ['      automountServiceAccountToken: false\n', ''],
  ],
  'a pinned image': [
    [/image: vllm-router:\S+/, 'image: vllm-router:latest'],
    [/image: vllm-router:\S+/, 'image: vllm-router'],
  ],
  'resources of the guide': [
    ['cpu: "4"', 'cpu: "2"'],
    ['memory: 4Gi', 'memory: 1Gi'],
  ],
  'liveness is cheap, generous and blind to workers': [
    [/(livenessProbe:[^?]*?path: )\/liveness/, '$1/health'],
    ['failureThreshold: 6\n', 'failureThreshold: 3\n'],
  ],
  readiness: [['path: /readiness', 'path: /health']],
  startup: [[/(startupProbe:[^?]*?periodSeconds: )1/, '$110']],
  'time to stop': [
    ['terminationGracePeriodSeconds: 195', 'terminationGracePeriodSeconds: 30'],
    ['shutdown-grace-secs: 180', 'shutdown-grace-secs: 600'],
    ['- "5"', '- "15"'],
    ['shutdown-settle-secs: 5', 'shutdown-settle-secs: 1'],
    ['    shutdown-grace-secs: 180\n', ''],
  ],
  'node ports': [
    ['nodePort: 30090', 'nodePort: 30080'],
    ['    nodePort: 30091\n', ''],
    ['type: NodePort', 'type: ClusterIP'],
  ],
  'services reach the pods': [
    ['targetPort: operations', 'targetPort: metrics'],
    [/( {2}selector:\n {4}app.kubernetes.io\/name: )vllm-router\n {2}type/, '$1router\n  type'],
  ],
  'metrics without workers': [['  publishNotReadyAddresses: true\n', '']],
  'a policy in both directions': [['  - Egress\n', '']],
  'every way has an end': [
    [/ {4}to:\n {4}- namespaceSelector:\n.*\n.*kube-system\n.*\n.*\n.*\n.*\n.*169\.254\.20\.10\/32\n/, ''],
  ],
  'metrics and admin from monitoring only': [
    ['kubernetes.io/metadata.name: monitoring', 'kubernetes.io/metadata.name: default'],
    ['- port: api\n', '- port: api\n    - port: operations\n'],
  ],
  'the API is reached': [['    - port: api\n', '    - port: other\n']],
  'names can be resolved': [['      protocol: UDP\n', '']],
  'workers are reached': [
    ['- port: 8000', '- port: 8001'],
    ['http://vllm-worker-7:8000', 'http://vllm-worker-7:9000'],
  ],
  'nowhere else': [
    [
      '- podSelector:\n        matchLabels:\n          app.kubernetes.io/name: vllm\n',
      '- podSelector:\n        matchLabels:\n          app.kubernetes.io/name: vllm\n    - ipBlock:\n        cidr: 0.0.0.0/0\n',
    ],
  ],
  'a rollout loses nothing': [
    ['maxUnavailable: 0', 'maxUnavailable: 1'],
    ['    type: RollingUpdate', '    type: Recreate'],
  ],
  'the selector fits': [[/(revisionHistoryLimit: 5\n {2}selector:\n.*\n.*name: )vllm-router/, '$1other']],
  spread: [['topologyKey: kubernetes.io/hostname', 'topologyKey: example.com/rack']],
  'disruptions one by one': [
    ['  maxUnavailable: 1', '  minAvailable: 1'],
    ['kind: PodDisruptionBudget', 'kind: Something'],
  ],
  scaling: [
    ['minReplicas: 2', 'minReplicas: 1'],
    ['name: vllm_router_running_requests', 'name: vllm_router_requests'],
    ['stabilizationWindowSeconds: 600', 'stabilizationWindowSeconds: 0'],
    ['    name: vllm-router\n---\napiVersion: networking', '    name: router\n---\napiVersion: networking'],
  ],
  'no number of replicas': [['  revisionHistoryLimit: 5', '  revisionHistoryLimit: 5\n  replicas: 2']],
  'least rights': [
    [
      /^/,
      'apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata:\n  name: more\n  labels:\n    app: vllm-router\n    app.kubernetes.io/name: vllm-router\nrules:\n- apiGroups: [""]\n  resources: [secrets]\n  verbs: [get]\n---\n',
    ],
    [
      /^/,
      'apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata:\n  name: more\n  labels:\n    app: vllm-router\n    app.kubernetes.io/name: vllm-router\nrules: []\n---\n',
    ],
  ],
  'rights for this router': [['serviceAccountName: vllm-router', 'serviceAccountName: other']],
  'admin is closed': [
    [/ {8}env:\n {8}- name: VLLM_ROUTER_ADMIN_API_KEY\n.*\n.*\n.*\n.*\n/, ''],
    ['key: admin-api-key\n', 'key: admin-api-key\n              optional: true\n'],
    // Whoever may read pods, or their metrics, knows it.
    [/secretKeyRef:\n.*admin-api-key\n.*\n/, 'fieldRef:\n              fieldPath: metadata.uid\n'],
  ],
  'no secrets': [
    ['policy: round_robin', 'router-api-keys: [abc]\n    policy: round_robin'],
    ['        env:\n', '        env:\n        - name: VLLM_ROUTER_API_KEY\n          value: abc\n'],
    [
      /^/,
      'apiVersion: v1\nkind: Secret\nmetadata:\n  name: keys\n  labels:\n    app: vllm-router\n    app.kubernetes.io/name: vllm-router\n---\n',
    ],
  ],
  'no variables of Services': [['      enableServiceLinks: false\n', '']],
  labels: [['  labels:\n    app: vllm-router\n', '  labels:\n']],
}

describe('each rule refuses what breaks it', () => {
  for (const { name, because } of rules)
    test(`${name}: ${because}`, async () => {
      const changes = broken[name] ?? []
      assert.ok(changes.length > 0, 'no manifest that breaks it')
      for (const [from, to] of changes) {
        const text = allNodes.replace(from, to)
        assert.notEqual(text, allNodes, String(from))
        const said = await breachesIn(text)
        assert.ok(said.length > 0, `${String(from)} -> ${to} passes`)
        for (const breach of said) assert.ok(breach.startsWith(`${name}: `), `${String(from)}: ${breach}`)
      }
    })

  test('and no rule is tested that is not there', () => {
    assert.deepEqual(Object.keys(broken).sort(), rules.map(({ name }) => name).sort())
  })

  test('a configuration that the router refuses is no configuration', async () => {
    await assert.rejects(
      breachesIn(allNodes.replace('policy: round_robin', 'policy: round_robbin')),
      /round_robbin/,
    )
    await assert.rejects(
      breachesIn(allNodes.replace('- /etc/vllm-router/router.yaml', '- /etc/none.yaml')),
      /none/,
    )
  })
})

describe('with TLS', { skip: withoutKubectl }, () => {
  test('the API speaks https, and the manifests keep the rules', { timeout }, async (t) => {
    const copy = mkdtempSync(join(tmpdir(), 'vllm-router-tls-'))
    t.after(() => rmSync(copy, { recursive: true, force: true }))
    cpSync(fileURLToPath(new URL('../../k8s', import.meta.url)), copy, { recursive: true })
    mkdirSync(join(copy, 'overlays/tls'))
    const kustomization = 'resources: [../all-nodes]\ncomponents: [../../components/tls]\n'
    writeFileSync(join(copy, 'overlays/tls/kustomization.yaml'), kustomization)
    const manifests = parseManifests(render('overlays/tls', `${copy}/`))
    const deployed = await readDeployed(manifests)
    assert.deepEqual(breachesOf(deployed, rules), [])
    const { tlsCertFile, tlsKeyFile } = deployed.config
    const mounts = deployed.container.volumeMounts?.map(({ mountPath }) => mountPath)
    for (const file of [tlsCertFile, tlsKeyFile]) assert.ok(mounts?.includes(dirname(file ?? '')), file)
  })
})

describe('with discovery', { skip: withoutKubectl }, () => {
  const cases: readonly (readonly [rule: string, ...Change])[] = [
    [
      'a token only for discovery',
      '      automountServiceAccountToken: true',
      '      automountServiceAccountToken: false',
    ],
    ['least rights', '  - watch', '  - watch\n  - delete'],
    ['least rights', '  - pods', '  - pods\n  - secrets'],
    ['least rights', /selector:\n\s+- .*name=vllm\n/, 'service-discovery-service: vllm\n'],
    ['least rights', 'service-discovery-namespace: vllm', 'service-discovery-namespace: other'],
    ['rights for this router', /(subjects:\n- kind: ServiceAccount\n {2}name: )vllm-router/, '$1default'],
    ['nowhere else', '- port: 6443', '- port: 80'],
  ]
  for (const [name, from, to] of cases)
    test(`${name} refuses ${to.trim().split('\n').at(-1)}`, { timeout }, async () => {
      const right = render('overlays/discovery')
      const text = right.replace(from, to)
      assert.notEqual(text, right)
      const said = await breachesIn(text)
      assert.ok(said.length > 0)
      for (const breach of said) assert.ok(breach.startsWith(`${name}: `), breach)
    })
})
