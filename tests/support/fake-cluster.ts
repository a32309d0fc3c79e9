/** The state of a cluster: objects, their versions, and the history from which watches are served. */

import type { KubernetesObject } from './kubernetes-objects.ts'

export type EventType = 'ADDED' | 'MODIFIED' | 'DELETED'

export interface ClusterEvent {
  readonly type: EventType
  readonly object: KubernetesObject
}

interface HistoryEntry {
  readonly version: number
  readonly before: KubernetesObject | undefined
  readonly after: KubernetesObject | undefined
}

/** What a request asks for. */
export interface Selection {
  readonly kind: KubernetesObject['kind']
  readonly namespace: string | undefined
  readonly labels: (labels: Readonly<Record<string, string>>) => boolean
}

export class FakeCluster {
  /** Of the last change; real ones do not begin at 0 either. */
  version = 1000
  /** Changes before it are forgotten: a watch from there gets 410. */
  oldest = 1000
  readonly #objects = new Map<string, KubernetesObject>()
  #history: HistoryEntry[] = []
  readonly #listeners = new Set<() => void>()

  /** Makes or replaces an object. */
  put(object: KubernetesObject): void {
    const key = keyOf(object)
    this.#record(key, this.#objects.get(key), object)
  }

  delete({ kind, metadata }: KubernetesObject): void {
    const key = keyOf({ kind, metadata })
    const before = this.#objects.get(key)
    if (before !== undefined) this.#record(key, before, undefined)
  }

  /** Forgets the history, as etcd does after some minutes. */
  compact(): void {
    this.#history = []
    this.oldest = this.version
  }

  /** As after the restore of a backup: the versions begin anew, far below. */
  restore(): void {
    this.version = 10
    this.compact()
    for (const [key, object] of this.#objects) this.#objects.set(key, withVersion(object, this.version++))
  }

  list(selection: Selection): readonly KubernetesObject[] {
    return [...this.#objects.values()].filter((object) => selects(selection, object))
  }

  /** What happened after a version, as a watch with this selection sees it. */
  since(version: number, selection: Selection): readonly (ClusterEvent & { readonly version: number })[] {
    return this.#history
      .filter((entry) => entry.version > version)
      .flatMap((entry) => {
        const event = seen(entry, selection)
        return event === undefined ? [] : { ...event, version: entry.version }
      })
  }

  /** Calls `listener` after each change; returns what ends that. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  #record(key: string, before: KubernetesObject | undefined, object: KubernetesObject | undefined): void {
    this.version += 1
    const after = object && withVersion(object, this.version)
    if (after === undefined) this.#objects.delete(key)
    else this.#objects.set(key, after)
    this.#history.push({ version: this.version, before, after })
    for (const listener of this.#listeners) listener()
  }
}

/** An object that is no longer selected is deleted, to those who select; the event carries the version of the change. */
function seen({ version, before, after }: HistoryEntry, selection: Selection): ClusterEvent | undefined {
  const was = before !== undefined && selects(selection, before)
  const is = after !== undefined && selects(selection, after)
  if (is) return { type: was ? 'MODIFIED' : 'ADDED', object: after }
  return was ? { type: 'DELETED', object: withVersion(before, version) } : undefined
}

function selects({ kind, namespace, labels }: Selection, object: KubernetesObject): boolean {
  const { metadata } = object
  return (
    object.kind === kind &&
    (namespace === undefined || metadata.namespace === namespace) &&
    labels(metadata.labels)
  )
}

function withVersion(object: KubernetesObject, version: number): KubernetesObject {
  return { ...object, metadata: { ...object.metadata, resourceVersion: String(version) } }
}

function keyOf({ kind, metadata }: Pick<KubernetesObject, 'kind' | 'metadata'>): string {
  return `${kind}/${metadata.namespace}/${metadata.name}`
}

/** `a=b,c in (d,e)` as the API reads it. */
export function labelSelector(written: string): Selection['labels'] {
  const terms = [...written.matchAll(/([\w./-]+)(?:=([\w.-]*)| in \(([^)]*)\))(?:,|$)/g)].map(
    ([, key = '', value, values]) => ({ key, allowed: values?.split(',') ?? [value ?? ''] }),
  )
  return (labels) => terms.every(({ key, allowed }) => allowed.includes(labels[key] ?? '\0'))
}
