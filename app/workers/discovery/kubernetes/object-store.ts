import { type ApiObject, compareVersions } from './api-object.ts'

export type Change = 'ADDED' | 'MODIFIED' | 'DELETED'

/**
 * The objects of one collection, from lists and from a watch that run side by side. Each object only ever moves forward
 * in its own versions, so that events which come twice, late, out of order, or from before a list change nothing.
 */
export class ObjectStore {
  #objects = new Map<string, ApiObject>()
  /** Versions at which objects were deleted, for events and lists from before that. */
  #deleted = new Map<string, string>()
  #version: string | undefined

  get objects(): readonly ApiObject[] {
    return [...this.#objects.values()]
  }

  /** The version of the last list; undefined before the first. */
  get version(): string | undefined {
    return this.#version
  }

  /** An event of a watch. Returns whether it said something new. */
  apply(change: Change, object: ApiObject): boolean {
    const { uid, resourceVersion } = object.metadata
    const known = this.#objects.get(uid)
    const latest = known?.metadata.resourceVersion ?? this.#deleted.get(uid)
    if (isNotAfter(resourceVersion, latest) || isNotAfter(resourceVersion, this.#version)) return false
    if (change === 'DELETED') {
      this.#objects.delete(uid)
      this.#deleted.set(uid, resourceVersion)
      return known !== undefined
    }
    this.#deleted.delete(uid)
    this.#objects.set(uid, object)
    return true
  }

  /** The whole collection as of `version`; what events have said of later versions stays. Returns whether it was news. */
  replace(items: readonly ApiObject[], version: string): boolean {
    const before = this.#objects
    const after = new Map<string, ApiObject>()
    for (const item of items) {
      const { uid } = item.metadata
      if (isAfter(this.#deleted.get(uid), version)) continue
      const known = before.get(uid)
      after.set(uid, isAfter(known?.metadata.resourceVersion, item.metadata.resourceVersion) ? known! : item)
    }
    for (const [uid, known] of before) {
      if (!after.has(uid) && isAfter(known.metadata.resourceVersion, version)) after.set(uid, known)
    }
    for (const [uid, deletedAt] of this.#deleted) {
      if (!isAfter(deletedAt, version)) this.#deleted.delete(uid)
    }
    this.#objects = after
    this.#version = version
    return differ(before, after)
  }

  /** The same when the cluster's versions have begun anew, as after the restore of a backup: nothing known counts. */
  reset(items: readonly ApiObject[], version: string): boolean {
    const before = this.#objects
    this.#objects = new Map(items.map((item) => [item.metadata.uid, item]))
    this.#deleted.clear()
    this.#version = version
    return differ(before, this.#objects)
  }
}

/** Surely later. */
function isAfter(version: string | undefined, other: string): boolean {
  return version !== undefined && (compareVersions(version, other) ?? 0) > 0
}

/** Surely the same or earlier. */
function isNotAfter(version: string, other: string | undefined): boolean {
  return other !== undefined && (compareVersions(version, other) ?? 1) <= 0
}

function differ(before: ReadonlyMap<string, ApiObject>, after: ReadonlyMap<string, ApiObject>): boolean {
  if (before.size !== after.size) return true
  for (const [uid, { metadata }] of after) {
    if (before.get(uid)?.metadata.resourceVersion !== metadata.resourceVersion) return true
  }
  return false
}
