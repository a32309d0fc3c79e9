import assert from 'node:assert/strict'
import type { Tenant, TenantLimits } from '../../http/tenant.ts'
import { Reservation, type TenantRefusal } from '../../policies/limits/tenant-account.ts'

/** A tenant with these limits and nothing else of its own. */
export function tenantOf(limits: TenantLimits, name = 'team-a'): Tenant {
  return { name, priority: 'normal', weight: 1, limits }
}

/** That it goes on. */
export function taken(decision: Reservation | TenantRefusal | Promise<unknown>): Reservation {
  assert.ok(decision instanceof Reservation, 'it goes on, at once')
  return decision
}
