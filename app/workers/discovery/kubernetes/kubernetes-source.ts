import type { Source } from '../../source.ts'
import type { ApiObject } from './api-object.ts'
import { type EndpointSlice, sliceWorkers } from './endpoint-slices.ts'
import { type Found, oneEach } from './found.ts'
import { ListWatch, type ListWatchOptions } from './list-watch.ts'
import { type Pod, podWorkers } from './pods.ts'

export interface KubernetesSourceOptions extends Omit<ListWatchOptions, 'path' | 'query' | 'events'> {
  /** Labels that a pod must carry, `app=vllm`; or the names of Services whose endpoints are the workers. */
  readonly workers: { readonly labels: readonly string[] } | { readonly services: readonly string[] }
  /** Undefined: all namespaces. */
  readonly namespace: string | undefined
  /** A number, or the name of a port. */
  readonly port: string
}

/** The workers among the pods of a cluster. */
export function kubernetesSource(options: KubernetesSourceOptions): Source {
  const { path, query, interpret } = collection(options)
  let listWatch: ListWatch | undefined
  return {
    name: 'kubernetes',
    start(report) {
      function changed(objects: readonly ApiObject[]): void {
        const { members, problems } = interpret(objects, options.port)
        report.found(oneEach(members))
        if (problems[0] === undefined) report.recovered('interpret')
        else report.failed('interpret', problems[0])
      }
      const { alive, failed, recovered } = report
      listWatch = new ListWatch({ ...options, path, query, events: { changed, alive, failed, recovered } })
      listWatch.start()
    },
    stop: () => listWatch?.stop(),
  }
}

interface Collection {
  readonly path: string
  readonly query: Readonly<Record<string, string>>
  readonly interpret: (objects: readonly ApiObject[], port: string) => Found
}

function collection({ workers, namespace }: KubernetesSourceOptions): Collection {
  const scope = namespace === undefined ? '' : `namespaces/${namespace}/`
  if ('labels' in workers) {
    return {
      path: `/api/v1/${scope}pods`,
      query: { labelSelector: workers.labels.join(',') },
      interpret: (objects, port) => podWorkers(objects as readonly Pod[], port),
    }
  }
  return {
    path: `/apis/discovery.k8s.io/v1/${scope}endpointslices`,
    query: { labelSelector: `kubernetes.io/service-name in (${workers.services.join(',')})` },
    interpret: (objects, port) => sliceWorkers(objects as readonly EndpointSlice[], port),
  }
}
