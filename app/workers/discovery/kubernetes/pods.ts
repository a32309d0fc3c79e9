import type { Member } from '../../source.ts'
import { type ApiObject, isAskedToDrain, weightOf } from './api-object.ts'
import { type Found, hostUrl } from './found.ts'

interface Container {
  readonly restartPolicy?: string
  readonly ports?: readonly { readonly name?: string; readonly containerPort: number }[] | null
}

/** A pod of `v1`; only the fields that are read here. */
export interface Pod extends ApiObject {
  readonly spec?: {
    readonly containers?: readonly Container[] | null
    readonly initContainers?: readonly Container[] | null
  }
  readonly status?: {
    readonly phase?: string
    readonly podIP?: string
    readonly conditions?: readonly { readonly type: string; readonly status: string }[] | null
  }
}

/**
 * The workers among pods, by the rules by which Kubernetes itself makes endpoints of pods:
 * - Ready and not being deleted: a worker.
 * - Ready and being deleted, or asked to drain: it finishes what it has.
 * - not Ready, without an address, or ended: none.
 *
 * @param port a number, or the name of a container's port
 */
export function podWorkers(pods: readonly Pod[], port: string): Found {
  const members: Member[] = []
  const problems: string[] = []
  for (const pod of pods) {
    if (!isServing(pod)) continue
    const number = /^\d+$/.test(port) ? Number(port) : namedPort(pod, port)
    const { uid, name, deletionTimestamp } = pod.metadata
    if (number === undefined) {
      problems.push(`pod ${name} has no port called ${port}`)
      continue
    }
    const { weight, problem } = weightOf(pod, 'pod')
    if (problem !== undefined) problems.push(problem)
    members.push({
      url: hostUrl(pod.status?.podIP ?? '', number),
      weight,
      identity: uid,
      draining: deletionTimestamp !== undefined || isAskedToDrain(pod),
    })
  }
  return { members, problems }
}

function isServing({ status }: Pod): boolean {
  if (status?.podIP === undefined || status.podIP === '') return false
  if (status.phase === 'Succeeded' || status.phase === 'Failed') return false
  return status.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True') ?? false
}

/** Init containers that run on beside the others have ports, too. */
function namedPort({ spec }: Pod, wanted: string): number | undefined {
  const sidecars = spec?.initContainers?.filter(({ restartPolicy }) => restartPolicy === 'Always') ?? []
  for (const { ports } of [...(spec?.containers ?? []), ...sidecars]) {
    const port = ports?.find(({ name }) => name === wanted)
    if (port !== undefined) return port.containerPort
  }
  return undefined
}
