/** Kubernetes manifests as the tests read them: committed files, and what kustomize makes of a directory. */

import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { IDeployment } from 'kubernetes-models/apps/v1/Deployment'
import type { IHorizontalPodAutoscaler } from 'kubernetes-models/autoscaling/v2/HorizontalPodAutoscaler'
import type { INetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1/NetworkPolicy'
import type { IPodDisruptionBudget } from 'kubernetes-models/policy/v1/PodDisruptionBudget'
import type { IRole } from 'kubernetes-models/rbac.authorization.k8s.io/v1/Role'
import type { IRoleBinding } from 'kubernetes-models/rbac.authorization.k8s.io/v1/RoleBinding'
import type { IConfigMap } from 'kubernetes-models/v1/ConfigMap'
import type { ISecret } from 'kubernetes-models/v1/Secret'
import type { IService } from 'kubernetes-models/v1/Service'
import type { IServiceAccount } from 'kubernetes-models/v1/ServiceAccount'
import { parseAllDocuments } from 'yaml'

interface Kinds {
  readonly ConfigMap: IConfigMap
  readonly Deployment: IDeployment
  readonly HorizontalPodAutoscaler: IHorizontalPodAutoscaler
  readonly NetworkPolicy: INetworkPolicy
  readonly PodDisruptionBudget: IPodDisruptionBudget
  readonly Role: IRole
  readonly RoleBinding: IRoleBinding
  readonly Secret: ISecret
  readonly Service: IService
  readonly ServiceAccount: IServiceAccount
}

export interface Manifest {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: {
    readonly name: string
    readonly namespace?: string
    readonly labels?: Readonly<Record<string, string>>
  }
}

const directory = fileURLToPath(new URL('../../k8s/', import.meta.url))

/** The directories that kustomize renders by themselves; components appear in overlays. */
export const rendered: readonly string[] = [
  ...readdirSync(`${directory}overlays`).map((name) => `overlays/${name}`),
  'vllm',
]

/** The files that are applied without kustomize, and what they are made of. */
export const singleFiles = {
  'vllm-router-all-nodes.yaml': 'overlays/all-nodes',
  'vllm-router-simple.yaml': 'overlays/simple',
  'vllm-router-node2.yaml': 'overlays/node2',
} as const

/** Why what needs kubectl is left out; false where it is installed. */
export const withoutKubectl: string | false =
  spawnSync('kubectl', ['version', '--client']).status === 0 ? false : 'kubectl is not on PATH'

/** Text of a file under k8s/. */
export function readK8s(file: string): string {
  return readFileSync(`${directory}${file}`, 'utf8')
}

/** What `kubectl kustomize` makes of a directory under k8s/, or of one in a copy of it. */
export function render(place: string, within = directory): string {
  const { status, stdout, stderr } = spawnSync('kubectl', ['kustomize', `${within}${place}`], {
    encoding: 'utf8',
    maxBuffer: 64 * 2 ** 20,
  })
  if (status !== 0) throw new Error(`kubectl kustomize ${place}: ${stderr}`)
  return stdout
}

/** Throws on a warning too: a key that is there twice is a mistake. */
export function parseManifests(text: string): readonly Manifest[] {
  return parseAllDocuments(text).map((document) => {
    const [broken] = [...document.errors, ...document.warnings]
    if (broken !== undefined) throw broken
    return document.toJS() as Manifest
  })
}

export function ofKind<K extends keyof Kinds>(manifests: readonly Manifest[], kind: K): readonly Kinds[K][] {
  return manifests.filter((manifest) => manifest.kind === kind) as unknown as readonly Kinds[K][]
}

/** The only one of its kind, or the one of that name. */
export function theOne<K extends keyof Kinds>(
  manifests: readonly Manifest[],
  kind: K,
  name?: string,
): Kinds[K] {
  const found = ofKind(manifests, kind).filter(
    ({ metadata }) => name === undefined || metadata?.name === name,
  )
  const [only] = found
  if (only === undefined || found.length > 1) throw new Error(`${found.length} of kind ${kind} ${name ?? ''}`)
  return only
}
