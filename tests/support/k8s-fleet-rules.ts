/** Rules for the routers together: rollouts, spread, scaling, rights and keys. */

import { ofKind } from './k8s-manifests.ts'
import { selects } from './k8s-network-rules.ts'
import type { Rule } from './k8s-rule.ts'

export const fleetRules: readonly Rule[] = [
  {
    name: 'a rollout loses nothing',
    because: 'a new router is ready before an old one goes',
    *check({ deployment }) {
      const { type, rollingUpdate } = deployment.spec?.strategy ?? {}
      if (type !== 'RollingUpdate' || rollingUpdate?.maxUnavailable !== 0 || rollingUpdate.maxSurge === 0)
        yield JSON.stringify(deployment.spec?.strategy)
    },
  },
  {
    name: 'the selector fits',
    because: 'a Deployment whose selector misses its pods is refused, one that takes others steals them',
    *check({ deployment, podLabels }) {
      const selector = deployment.spec?.selector?.matchLabels
      if (!selects(selector, podLabels)) yield JSON.stringify(selector)
    },
  },
  {
    name: 'spread',
    because: 'replicas on one node are one replica',
    *check({ pod, podLabels }) {
      const keys = (pod.topologySpreadConstraints ?? [])
        .filter(({ labelSelector }) => selects(labelSelector?.matchLabels, podLabels))
        .map(({ topologyKey }) => topologyKey)
      for (const key of ['kubernetes.io/hostname', 'topology.kubernetes.io/zone'])
        if (!keys.includes(key)) yield `not over ${key}`
    },
  },
  {
    name: 'disruptions one by one',
    because: 'a drain of nodes must neither take all routers at once nor wait for ever',
    *check({ manifests, podLabels }) {
      const budgets = ofKind(manifests, 'PodDisruptionBudget').flatMap(({ spec }) => spec ?? [])
      const [budget] = budgets.filter(({ selector }) => selects(selector?.matchLabels, podLabels))
      if (budget?.maxUnavailable !== 1 || budget.minAvailable !== undefined) yield JSON.stringify(budget)
    },
  },
  {
    name: 'scaling',
    because:
      'streams cost long before CPU shows it, one replica is none, and each that goes drains for minutes',
    *check({ manifests, deployment }) {
      for (const { spec } of ofKind(manifests, 'HorizontalPodAutoscaler')) {
        const { scaleTargetRef: target, metrics = [], minReplicas = 1, behavior } = spec ?? {}
        if (target?.kind !== 'Deployment' || target.name !== deployment.metadata?.name)
          yield `scales ${target?.kind} ${target?.name}`
        const names = metrics.map(({ pods, resource }) => pods?.metric.name ?? resource?.name)
        for (const name of ['vllm_router_running_requests', 'cpu'])
          if (!names.includes(name)) yield `does not look at ${name}`
        if (minReplicas < 2) yield `at least ${minReplicas} replicas`
        if ((behavior?.scaleDown?.stabilizationWindowSeconds ?? 300) < 600) yield 'scales down in haste'
      }
    },
  },
  {
    name: 'no number of replicas',
    because: 'each apply would undo what the autoscaler did',
    *check({ deployment }) {
      if (deployment.spec?.replicas !== undefined) yield `replicas ${deployment.spec.replicas}`
    },
  },
  {
    name: 'least rights',
    because: 'discovery reads who the workers are, in one namespace, and changes nothing',
    *check({ manifests, config }) {
      for (const { kind } of manifests) if (kind.startsWith('Cluster')) yield `there is a ${kind}`
      const roles = ofKind(manifests, 'Role')
      if (config.serviceDiscovery !== roles.length > 0) yield `${roles.length} roles`
      const due = config.selector.length > 0 ? 'pods' : 'endpointslices'
      for (const { metadata, rules = [] } of roles) {
        if (metadata?.namespace !== config.serviceDiscoveryNamespace)
          yield `rights in ${metadata?.namespace}, workers in ${config.serviceDiscoveryNamespace}`
        for (const { resources = [], verbs } of rules)
          if (resources.join() !== due || verbs.join() !== 'list,watch')
            yield `may ${verbs.join()} ${resources.join()} instead of list,watch ${due}`
      }
    },
  },
  {
    name: 'rights for this router',
    because: 'a binding to an account that is not there, or to another one, gives the wrong pod the right',
    *check({ manifests, pod }) {
      const accounts = ofKind(manifests, 'ServiceAccount').map(({ metadata }) => metadata)
      if (!accounts.some((account) => account?.name === pod.serviceAccountName))
        yield `no ServiceAccount ${pod.serviceAccountName}`
      const roles = ofKind(manifests, 'Role').map(({ metadata }) => metadata?.name)
      for (const { roleRef, subjects = [] } of ofKind(manifests, 'RoleBinding')) {
        if (!roles.includes(roleRef.name)) yield `binds to ${roleRef.name}`
        for (const { kind, name, namespace } of subjects) {
          const found = accounts.some((account) => account?.name === name && account?.namespace === namespace)
          if (kind !== 'ServiceAccount' || !found) yield `grants to ${kind} ${namespace}/${name}`
        }
      }
    },
  },
  {
    name: 'admin is closed',
    because: 'who reaches the operations port could add and remove workers',
    *check({ container, config }) {
      const entry = container.env?.find(({ name }) => name === 'VLLM_ROUTER_ADMIN_API_KEY')
      const secret = entry?.valueFrom?.secretKeyRef
      if (config.adminApiKey === undefined || secret === undefined) yield 'there is no admin key of a Secret'
      if (secret?.optional === true) yield 'without its Secret there is no admin key'
    },
  },
  {
    name: 'no secrets',
    because: 'what is in a manifest is in the repository',
    *check({ manifests, container, file }) {
      for (const { metadata } of ofKind(manifests, 'Secret')) yield `Secret ${metadata?.name}`
      for (const { name, value } of container.env ?? [])
        if (/(KEYS?|TOKEN|SECRET|PASSWORD)$/.test(name) && value !== undefined)
          yield `${name} is written down`
      if (/^[\w-]*api-?keys?:/im.test(file)) yield 'router.yaml has keys'
    },
  },
  {
    name: 'no variables of Services',
    because: 'Kubernetes would set VLLM_ROUTER_PORT=tcp://... in every pod beside a Service of that name',
    *check({ pod }) {
      if (pod.enableServiceLinks !== false) yield 'enableServiceLinks is on'
    },
  },
  {
    name: 'labels',
    because: 'the commands of the guide select by app, tools by the recommended ones',
    *check({ manifests, podLabels }) {
      const labelled = [...manifests, { kind: 'the pod', metadata: { name: '', labels: podLabels } }]
      for (const { kind, metadata } of labelled)
        if (
          metadata.labels?.app !== 'vllm-router' ||
          metadata.labels['app.kubernetes.io/name'] !== 'vllm-router'
        )
          yield `${kind} ${metadata.name}`
    },
  },
]
