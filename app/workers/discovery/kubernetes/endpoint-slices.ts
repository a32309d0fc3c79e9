import type { Member } from '../../source.ts'
import { type ApiObject, isAskedToDrain, weightOf } from './api-object.ts'
import { type Found, hostUrl } from './found.ts'

interface Endpoint {
  readonly addresses: readonly string[]
  readonly conditions?: {
    readonly ready?: boolean | null
    readonly serving?: boolean | null
    readonly terminating?: boolean | null
  } | null
  readonly targetRef?: { readonly uid?: string } | null
}

/** An EndpointSlice of `discovery.k8s.io/v1`; only the fields that are read here. Go writes empty lists as null. */
export interface EndpointSlice extends ApiObject {
  readonly addressType: string
  readonly endpoints?: readonly Endpoint[] | null
  readonly ports?: readonly { readonly name?: string | null; readonly port?: number | null }[] | null
}

/**
 * The workers among the endpoints of a Service.
 * - `ready`: a worker. A condition that is missing is true, says the API.
 * - `serving` and `terminating`, or asked to drain by an annotation on the slice: it finishes what it has.
 * - anything else: none.
 *
 * @param port a number, which may be another one than the Service's; or the name of a port of the Service
 */
export function sliceWorkers(slices: readonly EndpointSlice[], port: string): Found {
  const members: Member[] = []
  const problems: string[] = []
  for (const slice of slices) {
    const { addressType, endpoints, ports, metadata } = slice
    if (addressType === 'FQDN' || (endpoints ?? []).length === 0) continue
    const number = /^\d+$/.test(port) ? Number(port) : ports?.find(({ name }) => name === port)?.port
    if (number === undefined || number === null) {
      problems.push(`EndpointSlice ${metadata.name} has no port called ${port}`)
      continue
    }
    const { weight, problem } = weightOf(slice, 'EndpointSlice')
    if (problem !== undefined) problems.push(problem)
    for (const endpoint of endpoints ?? []) {
      const draining = endpoint.conditions?.terminating === true || isAskedToDrain(slice)
      // All addresses of an endpoint are the same one; the API asks to use the first.
      const [address] = endpoint.addresses
      if (address === undefined || !isServing(endpoint)) continue
      members.push({ url: hostUrl(address, number), identity: endpoint.targetRef?.uid, draining, weight })
    }
  }
  return { members, problems }
}

/** A Service that publishes addresses which are not ready calls them ready: then the router's own probes decide. */
function isServing({ conditions }: Endpoint): boolean {
  const ready = conditions?.ready ?? true
  return ready || (conditions?.serving ?? ready)
}
