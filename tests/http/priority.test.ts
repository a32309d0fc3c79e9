/** A request's standing: its tenant's, or lower where the client asks for that. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { standingOf } from '../../http/priority.ts'
import { priorityClasses, type Tenant } from '../../http/tenant.ts'

const classes = fc.constantFrom(...priorityClasses)
const tenants = fc.record({
  name: fc.string({ minLength: 1 }),
  priority: classes,
  weight: fc.double({ min: 0.01, max: 100, noNaN: true }),
  limits: fc.constant({}),
}) satisfies fc.Arbitrary<Tenant>

test('the header names a lower class, in any spelling of the word, and never a higher one', () => {
  const spelled = fc.tuple(classes, fc.constantFrom('x-priority', 'X-Priority', 'X-PRIORITY'), fc.boolean())
  fc.assert(
    fc.property(fc.option(tenants, { nil: undefined }), spelled, (tenant, [wanted, name, loud]) => {
      const own = tenant?.priority ?? 'normal'
      const value = loud ? ` ${wanted.toUpperCase()} ` : wanted
      const { priority, weight, tenant: who } = standingOf(tenant, [[name, value]])
      const lower = Math.max(priorityClasses.indexOf(own), priorityClasses.indexOf(wanted))
      assert.equal(priority, priorityClasses[lower])
      assert.deepEqual([who, weight], [tenant?.name, tenant?.weight ?? 1])
    }),
  )
})

test('anything but the name of a class is no wish', () => {
  const other = fc
    .string()
    .filter((text) => !(priorityClasses as readonly string[]).includes(text.trim().toLowerCase()))
  fc.assert(
    fc.property(tenants, other, (tenant, value) => {
      assert.equal(standingOf(tenant, [['x-priority', value]]).priority, tenant.priority)
    }),
  )
  // Two fields are one value, "low, high": no class.
  const twice = standingOf(undefined, [
    ['x-priority', 'low'],
    ['x-priority', 'high'],
  ])
  assert.equal(twice.priority, 'normal')
  assert.equal(standingOf(undefined, []).priority, 'normal')
})
