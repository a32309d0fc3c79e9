import { headerOf, type Incoming } from './incoming.ts'
import { type PriorityClass, priorityClasses, type Tenant } from './tenant.ts'

/** What of a request decides when its turn comes. */
export interface Standing {
  /** Undefined: no tenant is known. All these requests are treated as those of one tenant. */
  readonly tenant: string | undefined
  readonly priority: PriorityClass
  /** Above 0. */
  readonly weight: number
}

/** By which a client puts its own request behind others. */
export const priorityHeader = 'x-priority'

/** That of a request without a tenant. */
export const usualStanding: Standing = { tenant: undefined, priority: 'normal', weight: 1 }
const lowStanding: Standing = { ...usualStanding, priority: 'low' }

/**
 * The standing of a tenant's request. The header `x-priority` may name a lower class, never a higher one; anything but the
 * name of a class is ignored: the header is a wish, and not worth an error.
 */
export function standingOf(tenant: Tenant | undefined, headers: Incoming['headers']): Standing {
  const wanted = rankOf(headerOf(headers, priorityHeader))
  if (tenant === undefined) return wanted > rankOf(usualStanding.priority) ? lowStanding : usualStanding
  const { name, priority, weight } = tenant
  return { tenant: name, priority: wanted > rankOf(priority) ? priorityClasses[wanted]! : priority, weight }
}

/** 0 is the highest; -1: no class. */
function rankOf(name: string | undefined): number {
  return name === undefined ? -1 : priorityClasses.indexOf(name.trim().toLowerCase() as PriorityClass)
}
