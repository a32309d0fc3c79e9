/** Rules for the router's pod: what it may do, how it is watched, how it stops. */

import manifest from '../../package.json' with { type: 'json' }
import { preStopSeconds } from './k8s-deployed.ts'
import type { Rule } from './k8s-rule.ts'

/** Seconds that remain after the grace time for last bytes, open sockets and the log. */
const closingSeconds = 10

export const podRules: readonly Rule[] = [
  {
    name: 'runs as uid 10001',
    because: 'the image is made for this user; runAsNonRoot alone would trust the image',
    *check({ pod: { securityContext } }) {
      const { runAsNonRoot, runAsUser, runAsGroup } = securityContext ?? {}
      if (runAsNonRoot !== true || runAsUser !== 10_001 || runAsGroup !== 10_001)
        yield `runAsNonRoot ${runAsNonRoot}, runAsUser ${runAsUser}, runAsGroup ${runAsGroup}`
    },
  },
  {
    name: 'writes nothing',
    because: 'what cannot be changed cannot be taken over; the router needs no file of its own',
    *check({ pod, container }) {
      if (container.securityContext?.readOnlyRootFilesystem !== true)
        yield 'the root file system can be written'
      for (const { name, emptyDir, hostPath } of pod.volumes ?? [])
        if (emptyDir !== undefined || hostPath !== undefined) yield `volume ${name} can be written`
      for (const { mountPath, readOnly } of container.volumeMounts ?? [])
        if (readOnly !== true) yield `${mountPath} is not mounted read-only`
    },
  },
  {
    name: 'gains no privileges',
    because: 'setuid programs of the base image are no way up',
    *check({ container: { securityContext } }) {
      if (securityContext?.allowPrivilegeEscalation !== false) yield 'privilege escalation is allowed'
      if (securityContext?.privileged === true) yield 'it is privileged'
    },
  },
  {
    name: 'has no capabilities',
    because: 'its ports are above 1024, and nothing else of it needs one',
    *check({ container: { securityContext } }) {
      const { drop = [], add = [] } = securityContext?.capabilities ?? {}
      if (!drop.includes('ALL') || add.length > 0) yield `drop ${drop.join()}, add ${add.join()}`
    },
  },
  {
    name: 'seccomp',
    because: "the runtime's default profile is off unless it is asked for",
    *check({ pod, container }) {
      const type = (container.securityContext?.seccompProfile ?? pod.securityContext?.seccompProfile)?.type
      if (type !== 'RuntimeDefault') yield `profile ${type}`
    },
  },
  {
    name: 'keeps off the node',
    because: 'a router needs nothing of the machine that it runs on',
    *check({ pod, container }) {
      const { hostNetwork, hostPID, hostIPC } = pod
      if (hostNetwork || hostPID || hostIPC) yield 'it shares namespaces with the node'
      for (const { hostPort } of container.ports ?? [])
        if (hostPort !== undefined) yield `hostPort ${hostPort}`
    },
  },
  {
    name: 'a token only for discovery',
    because: 'a token that is not there cannot be stolen',
    *check({ pod, config }) {
      if (pod.automountServiceAccountToken !== config.serviceDiscovery)
        yield `automountServiceAccountToken ${pod.automountServiceAccountToken}, discovery ${config.serviceDiscovery}`
      if ((pod.serviceAccountName ?? 'default') === 'default') yield 'no service account of its own'
    },
  },
  {
    name: 'a pinned image',
    because: 'two replicas of one Deployment must not run two versions',
    *check({ container: { image } }) {
      if (image !== `vllm-router:${manifest.version}`) yield `${image}`
    },
  },
  {
    name: 'resources of the guide',
    because: 'requests 1 CPU and 4 Gi, limits 4 CPU and 8 Gi',
    *check({ container: { resources } }) {
      const said = JSON.stringify([resources?.requests, resources?.limits])
      const due = [
        { cpu: '1', memory: '4Gi' },
        { cpu: '4', memory: '8Gi' },
      ]
      if (said !== JSON.stringify(due)) yield said
    },
  },
  {
    name: 'liveness is cheap, generous and blind to workers',
    because:
      'a restart cuts all streams and heals no worker; during a drain only the operations port still listens',
    *check({ container: { livenessProbe: probe } }) {
      const { path, port } = probe?.httpGet ?? {}
      if (path !== '/liveness' || port !== 'operations') yield `asks ${path} at ${port}`
      const patience = (probe?.periodSeconds ?? 10) * (probe?.failureThreshold ?? 3)
      if (patience < 60) yield `gives up after ${patience} s`
    },
  },
  {
    name: 'readiness',
    because: 'it flips when a drain begins, and without a worker nobody should be sent here',
    *check({ container: { readinessProbe: probe } }) {
      const { path, port } = probe?.httpGet ?? {}
      if (path !== '/readiness' || port !== 'operations') yield `asks ${path} at ${port}`
    },
  },
  {
    name: 'startup',
    because: 'a slow start is no reason for liveness to kill it, and a quick one is used at once',
    *check({ container: { startupProbe: probe } }) {
      const { path, port } = probe?.httpGet ?? {}
      if (path !== '/liveness' || port !== 'operations') yield `asks ${path} at ${port}`
      if ((probe?.periodSeconds ?? 10) > 1) yield 'asks too seldom'
    },
  },
  {
    name: 'time to stop',
    because: 'preStop, the grace time of the router and ten seconds to close up, and not a second less',
    *check({ pod, container, config, file }) {
      const preStop = preStopSeconds(container)
      const due = preStop + config.shutdownGraceSecs + closingSeconds
      if (pod.terminationGracePeriodSeconds !== due)
        yield `terminationGracePeriodSeconds ${pod.terminationGracePeriodSeconds} is not ${due}`
      // Endpoints, kube-proxy and clients with connections of their own learn of it one after the other.
      if (!(preStop + config.shutdownSettleSecs >= 10))
        yield 'less than 10 s from the deletion of the pod to the first refused request'
      for (const key of ['shutdown-settle-secs', 'shutdown-grace-secs'])
        if (!file.includes(`${key}: `)) yield `router.yaml leaves ${key} to its default, which may change`
    },
  },
]
