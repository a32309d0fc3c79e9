import { isWeight } from '../../../config/worker-list.ts'

/** What every object of the Kubernetes API carries; only the fields that are read here. */
export interface ApiObject {
  readonly metadata: {
    /** Of this very object: one that is made anew under the same name has another. */
    readonly uid: string
    readonly name?: string
    /** Grows with every change in the cluster. */
    readonly resourceVersion: string
    /** The object is being deleted: a pod has got its SIGTERM. */
    readonly deletionTimestamp?: string
    readonly annotations?: Readonly<Record<string, string>> | null
  }
}

/** Set to `true` on a pod or an EndpointSlice: it gets nothing new and finishes what it has. */
const drainingAnnotation = 'vllm-router/draining'

/** On a pod or an EndpointSlice: how much of the work its workers should get, beside others; a number from 0.01 to 100. */
const weightAnnotation = 'vllm-router/weight'

/**
 * What the annotation says: no weight without one.
 * @param kind of the object, for the sentence that says what is wrong
 */
export function weightOf({ metadata }: ApiObject, kind: string): { weight?: number; problem?: string } {
  const written = metadata.annotations?.[weightAnnotation]
  if (written === undefined) return {}
  const weight = written.trim() === '' ? Number.NaN : Number(written)
  if (isWeight(weight)) return { weight }
  const problem = `${kind} ${metadata.name}: the annotation ${weightAnnotation} is ${JSON.stringify(written)}, no number from 0.01 to 100`
  return { problem }
}

export function isAskedToDrain({ metadata }: ApiObject): boolean {
  return metadata.annotations?.[drainingAnnotation] === 'true'
}

/** Whether something that was parsed from an answer can be kept: it says what it is, and how old. */
export function isApiObject(value: unknown): value is ApiObject {
  const { metadata } = (value ?? {}) as { metadata?: { uid?: unknown; resourceVersion?: unknown } }
  return typeof metadata?.uid === 'string' && typeof metadata.resourceVersion === 'string'
}

/**
 * Which of two resource versions is the later one: above 0 when it is `a`, undefined when that cannot be told.
 * API servers hand out decimal numbers that may be compared (Kubernetes enhancement 5504); others could hand out anything.
 */
export function compareVersions(a: string, b: string): number | undefined {
  if (!/^\d+$/.test(a) || !/^\d+$/.test(b)) return undefined
  const [left, right] = [BigInt(a), BigInt(b)]
  return left === right ? 0 : left > right ? 1 : -1
}
