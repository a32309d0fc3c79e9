/** A set of manifests as the router in it would see the world: its pod, and the configuration that results. */

import type { IDeployment } from 'kubernetes-models/apps/v1/Deployment'
import type { IContainer } from 'kubernetes-models/v1/Container'
import type { IPodSpec } from 'kubernetes-models/v1/PodSpec'
import { loadConfig } from '../../app/config/load-config.ts'
import type { Config } from '../../app/config/settings.ts'
import { environmentOf, parseDockerfile, readDockerfile, stageNamed } from './k8s-dockerfile.ts'
import { type Manifest, ofKind, theOne } from './k8s-manifests.ts'

export interface Deployed {
  readonly manifests: readonly Manifest[]
  readonly deployment: IDeployment
  readonly pod: IPodSpec
  readonly podLabels: Readonly<Record<string, string>>
  readonly container: IContainer
  /** Text of the file that `--config` names, as it is mounted. */
  readonly file: string
  readonly config: Config
  /** The container's environment; what comes from elsewhere has the name of its source as value. */
  readonly env: Readonly<Record<string, string>>
}

/**
 * Reads flags, environment and file as the container would.
 * @throws Error with every fault of the configuration
 */
export async function readDeployed(manifests: readonly Manifest[]): Promise<Deployed> {
  const deployment = theOne(manifests, 'Deployment')
  const template = deployment.spec?.template
  const pod = template?.spec
  const container = pod?.containers[0]
  if (pod === undefined || container === undefined) throw new Error('the Deployment has no container')
  const image = stageNamed(parseDockerfile(readDockerfile()), 'node')
  const env = { ...environmentOf(image), ...containerEnvironment(container) }
  const file = mounted(manifests, pod, container)
  const loaded = await loadConfig({ argv: container.args ?? [], env, readFile: async () => file })
  if (!loaded.ok) throw new Error(loaded.faults.map(({ name, problem }) => `${name}: ${problem}`).join('\n'))
  const podLabels = template?.metadata?.labels ?? {}
  return { manifests, deployment, pod, podLabels, container, file, config: loaded.config, env }
}

function containerEnvironment({ env = [] }: IContainer): Record<string, string> {
  return Object.fromEntries(
    env.map(({ name, value, valueFrom }) => {
      const source = valueFrom?.fieldRef?.fieldPath ?? valueFrom?.secretKeyRef?.key
      return [name, value ?? source ?? '']
    }),
  )
}

/** The file of a ConfigMap at the path that follows `--config`. */
function mounted(manifests: readonly Manifest[], pod: IPodSpec, container: IContainer): string {
  const path = container.args?.[container.args.indexOf('--config') + 1] ?? ''
  const directory = path.slice(0, path.lastIndexOf('/'))
  const mount = container.volumeMounts?.find(({ mountPath }) => mountPath === directory)
  const volume = pod.volumes?.find(({ name }) => name === mount?.name)
  const map = ofKind(manifests, 'ConfigMap').find(
    ({ metadata }) => metadata?.name === volume?.configMap?.name,
  )
  const text = map?.data?.[path.slice(directory.length + 1)]
  if (text === undefined) throw new Error(`nothing is mounted at ${path}`)
  return text
}

/** Seconds that preStop sleeps. */
export function preStopSeconds({ lifecycle }: IContainer): number {
  const [command, seconds] = lifecycle?.preStop?.exec?.command ?? []
  return command === 'sleep' ? Number(seconds) : Number.NaN
}
