/** Pods and EndpointSlices as the API writes them, as far as anyone reads them. */

export interface KubernetesObject {
  readonly kind: 'Pod' | 'EndpointSlice'
  readonly metadata: {
    readonly name: string
    readonly namespace: string
    readonly uid: string
    readonly labels: Readonly<Record<string, string>>
    readonly annotations?: Readonly<Record<string, string>>
    readonly deletionTimestamp?: string
    readonly resourceVersion?: string
  }
  readonly [field: string]: unknown
}

export interface PodOptions {
  readonly name: string
  /** Default: the name. A pod that is made anew has another. */
  readonly uid?: string
  readonly namespace?: string
  readonly labels?: Readonly<Record<string, string>>
  readonly annotations?: Readonly<Record<string, string>>
  /** '' as long as it has none. Default 127.0.0.1. */
  readonly ip?: string
  readonly ports?: readonly { readonly name?: string; readonly containerPort: number }[]
  /** Default true. */
  readonly ready?: boolean
  /** It has got its SIGTERM. */
  readonly terminating?: boolean
  readonly phase?: string
}

const deletedAt = '2026-01-01T00:00:00Z'

export function pod(options: PodOptions): KubernetesObject {
  const { name, uid = name, namespace = 'ml', labels = { app: 'vllm' }, annotations } = options
  const { ip = '127.0.0.1', ports = [], ready = true, terminating = false, phase = 'Running' } = options
  return {
    kind: 'Pod',
    metadata: {
      name,
      namespace,
      uid,
      labels,
      ...(annotations && { annotations }),
      ...(terminating && { deletionTimestamp: deletedAt }),
    },
    spec: { containers: [{ name: 'vllm', ports: ports.length === 0 ? null : ports }] },
    status: {
      phase,
      ...(ip !== '' && { podIP: ip, podIPs: [{ ip }] }),
      conditions: [
        { type: 'PodScheduled', status: 'True' },
        { type: 'Ready', status: ready ? 'True' : 'False' },
      ],
    },
  }
}

export interface EndpointOptions {
  readonly address: string
  readonly uid?: string
  readonly ready?: boolean | null
  readonly serving?: boolean | null
  readonly terminating?: boolean | null
}

export interface SliceOptions {
  readonly name: string
  readonly service: string
  readonly namespace?: string
  readonly annotations?: Readonly<Record<string, string>>
  readonly addressType?: string
  readonly ports?: readonly { readonly name?: string; readonly port?: number }[]
  readonly endpoints: readonly EndpointOptions[]
}

export function endpointSlice(options: SliceOptions): KubernetesObject {
  const {
    name,
    service,
    namespace = 'ml',
    annotations,
    addressType = 'IPv4',
    ports = [],
    endpoints,
  } = options
  return {
    kind: 'EndpointSlice',
    addressType,
    metadata: {
      name,
      namespace,
      uid: name,
      labels: { 'kubernetes.io/service-name': service },
      ...(annotations && { annotations }),
    },
    // The API's own server is a Go program: a list without elements is null.
    ports: ports.length === 0 ? null : ports,
    endpoints:
      endpoints.length === 0
        ? null
        : endpoints.map(({ address, uid, ...conditions }) => ({
            addresses: [address],
            conditions,
            ...(uid !== undefined && { targetRef: { kind: 'Pod', uid } }),
          })),
  }
}
