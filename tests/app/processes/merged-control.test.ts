/** What is asked of several processes is answered as if there were one. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { exampleRequest } from '../../../app/operations/description/examples.ts'
import type { RouterControl } from '../../../app/operations/router-control.ts'
import { MergedControl } from '../../../app/processes/merged-control.ts'
import type { RequestFilter } from '../../../app/request/request-view.ts'
import { AppClock } from '../../support/app-clock.ts'

/** A process with a thousand requests. */
const processOf = (second: number) =>
  ({
    requests: async ({ limit = 50 }: RequestFilter) =>
      Array.from({ length: limit }, (_, index) => ({
        ...exampleRequest,
        at: new Date(Date.UTC(2026, 0, 1, 0, 30 - index, second)).toISOString(),
      })),
  }) as unknown as RouterControl

function merged(): MergedControl {
  const controls = [processOf(1), processOf(2), processOf(3)]
  const unused = () => assert.fail('not asked for')
  return new MergedControl({
    ...{ controls: () => controls, draining: () => false, clock: new AppClock() },
    ...{ adopted: unused, untilHealthy: unused, limits: unused, usage: unused },
    ...{ settings: unused, reload: unused },
  })
}

test('the last requests are as many as one process tells of, the newest of all', async () => {
  const usual = await merged().requests({})
  assert.equal(usual.length, 50)
  const times = usual.map(({ at }) => at)
  assert.deepEqual(times, times.toSorted().toReversed())
  assert.equal((await merged().requests({ limit: 4 })).length, 4)
  assert.equal((await merged().requests({ limit: 120 })).length, 120)
})
