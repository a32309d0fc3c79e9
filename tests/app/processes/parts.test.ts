/** The parts of a router of several processes, each by itself. */

import assert from 'node:assert/strict'
import { EventEmitter } from 'node:events'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { resolveOptions } from '../../../app/config/resolve-options.ts'
import { createGateway } from '../../../app/gateway/gateway.ts'
import { Channel } from '../../../app/processes/channel.ts'
import { mergeWorker } from '../../../app/processes/merge-workers.ts'
import { availableCpus, processCount } from '../../../app/processes/process-count.ts'
import { RestartDelay } from '../../../app/processes/process-group.ts'
import { RemoteAdmission } from '../../../app/processes/remote-admission.ts'
import { shareConfig } from '../../../app/processes/share-config.ts'
import { SharedSlots } from '../../../app/processes/shared-slots.ts'
import type { WorkerState } from '../../../app/workers/worker-state.ts'
import { RouterError } from '../../../http/errors.ts'
import type { Standing } from '../../../http/priority.ts'
import { AdmissionQueue } from '../../../policies/limits/admission-queue.ts'
import { within } from '../../support/deadline.ts'

describe('CPUs of a container', () => {
  const cpus = (files: Readonly<Record<string, string>>, parallelism = 16) =>
    availableCpus({
      parallelism,
      read(path) {
        const text = files[path]
        if (text === undefined) throw new Error(`no ${path}`)
        return text
      },
    })
  const own = '/proc/self/cgroup'
  const limit = '/sys/fs/cgroup/cpu.max'

  test('are those of the machine, but no more than its limit, and at least one', () => {
    assert.equal(cpus({}), 16)
    assert.equal(cpus({ [own]: '0::/\n', [limit]: 'max 100000\n' }), 16)
    assert.equal(cpus({ [own]: '0::/\n', [limit]: '400000 100000\n' }), 4)
    assert.equal(cpus({ [own]: '0::/\n', [limit]: '250000 100000\n' }), 2, 'no part of one')
    assert.equal(cpus({ [own]: '0::/\n', [limit]: '50000 100000\n' }), 1)
    assert.equal(cpus({ [limit]: '800000 100000\n' }, 2), 2)
  })

  test('are limited by every group above, too', () => {
    const files = {
      [own]: '3:cpu:/x\n0::/pods/pod-1/router\n',
      '/sys/fs/cgroup/pods/pod-1/router/cpu.max': 'max 100000\n',
      '/sys/fs/cgroup/pods/pod-1/cpu.max': '300000 100000\n',
      '/sys/fs/cgroup/pods/cpu.max': '900000 100000\n',
    }
    assert.equal(cpus(files), 3)
  })

  test('give the number of processes, and no more than the cap of a worker can be shared by', () => {
    const count = (options: object) => processCount(resolveOptions(options), () => 4)
    assert.equal(count({}), 1)
    assert.equal(count({ processes: 3 }), 3)
    assert.equal(count({ processes: 'auto' }), 4)
    assert.equal(count({ processes: 'auto', maxConcurrentRequestsPerWorker: 2 }), 2)
    assert.throws(() => resolveOptions({ processes: 4, maxConcurrentRequestsPerWorker: 3 }), /is less than/)
  })
})

test('the share of each process adds up to what was configured', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 64 }), fc.nat(500), (count, more) => {
      const cap = count + more
      const config = resolveOptions({ processes: count, maxConcurrentRequestsPerWorker: cap })
      const shares = Array.from({ length: count }, (_, index) => shareConfig(config, index + 1, count))
      const caps = shares.map((share) => share.maxConcurrentRequestsPerWorker ?? 0)
      assert.equal(
        caps.reduce((sum, one) => sum + one),
        cap,
      )
      assert.ok(Math.min(...caps) >= 1 && Math.max(...caps) - Math.min(...caps) <= 1)
      const retries = shares.reduce((sum, share) => sum + (share.retryBudgetMinPerSec ?? 0), 0)
      assert.ok(Math.abs(retries - config.retryBudgetMinPerSec) < 1e-9)
      for (const share of shares) assert.equal(resolveOptions(JSON.parse(JSON.stringify(share))).processes, 1)
    }),
  )
})

test('an end after a long life is a mishap; ends that follow each other are waited out, at most 10 s', () => {
  const delay = new RestartDelay()
  assert.equal(delay.after(3_600_000), 0)
  assert.deepEqual(
    Array.from({ length: 9 }, () => delay.after(200)),
    [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000],
  )
  assert.equal(delay.after(10_000), 0)
})

test('a gateway in a program of its own is one process', async () => {
  await assert.rejects(createGateway({ processes: 2 }), /a gateway is one process/)
})

describe('one worker in the view of several processes', () => {
  const view: WorkerState = {
    id: 'a',
    url: 'http://a:8000',
    available: true,
    unavailable_reason: null,
    health: 'healthy',
    health_reason: null,
    last_choice: null,
    busy_until: null,
    in_flight: 2,
    draining: false,
    weight: 1,
    breaker: { state: 'half_open', reason: 'five', until: null },
    last_error: { at: '2026-01-01T00:00:00.000Z', message: 'older' },
    models: ['m'],
    load: null,
    recent: {
      seconds: 60,
      attempts: 10,
      retries: 1,
      failures: 2,
      refusals: 3,
      completion_tokens: 7,
      first_token_ms: { p50: 100, p95: 200 },
    },
    waiting: { requests: 1, quiet_seconds: 4 },
  }
  const other: WorkerState = {
    ...view,
    available: false,
    unavailable_reason: 'breaker_open',
    in_flight: 3,
    breaker: { state: 'open', reason: 'six', until: 'later' },
    last_error: { at: '2026-01-02T00:00:00.000Z', message: 'newer' },
    models: null,
    recent: { ...view.recent, attempts: 5, first_token_ms: { p50: 50, p95: 900 } },
    waiting: { requests: 2, quiet_seconds: 9 },
  }

  test('has the sum of its requests, the worst of its states, the latest of its news', () => {
    for (const views of [
      [view, other],
      [other, view],
    ]) {
      const merged = mergeWorker(views)
      assert.equal(merged.in_flight, 5)
      assert.deepEqual([merged.recent.attempts, merged.recent.failures], [15, 4])
      assert.equal(merged.recent.completion_tokens, 14)
      assert.deepEqual(merged.recent.first_token_ms, { p50: 50, p95: 900 })
      assert.deepEqual(merged.waiting, { requests: 3, quiet_seconds: 9 })
      assert.equal(merged.breaker.state, 'open')
      assert.equal(merged.last_error?.message, 'newer')
      assert.deepEqual([merged.available, merged.unavailable_reason], [true, null])
      assert.deepEqual(merged.models, ['m'])
    }
    const sick: WorkerState = { ...other, health: 'unhealthy', health_reason: 'status 500' }
    assert.equal(mergeWorker([view, sick]).health_reason, 'status 500')
  })
})

/** Two ends of a pipe that carries JSON, a turn of the event loop later. */
function pipe() {
  const state = { connected: true }
  class End extends EventEmitter {
    far: EventEmitter = this

    get connected(): boolean {
      return state.connected
    }

    send(message: object): boolean {
      const text = JSON.stringify(message)
      setImmediate(() => this.far.emit('message', JSON.parse(text)))
      return true
    }
  }
  const [near, far] = [new End(), new End()]
  near.far = far
  far.far = near
  const cut = (): void => {
    state.connected = false
    for (const end of [near, far]) end.emit('disconnect')
  }
  return { near, far, cut }
}

interface Calls {
  double: [number, number]
  fail: [null, null]
  wait: [null, string]
}

interface None {
  nothing: [null, null]
}

function channels() {
  const { near, far, cut } = pipe()
  const aborted = Promise.withResolvers<string>()
  const caller = new Channel<None, Calls>(near, { nothing: () => null })
  new Channel<Calls, None>(far, {
    double: (value) => value * 2,
    fail: () => {
      throw new RouterError('queue_full', 'full', { retryAfter: 7, param: 'url' })
    },
    wait: (_, signal) =>
      new Promise((resolve) => {
        signal?.addEventListener('abort', () => {
          aborted.resolve('aborted')
          resolve('left')
        })
      }),
  })
  return { caller, cut, aborted: aborted.promise }
}

describe('the channel', () => {
  test('carries answers and the errors of the router', async () => {
    const { caller } = channels()
    assert.deepEqual(await Promise.all([caller.call('double', 2), caller.call('double', 3)]), [4, 6])
    const error = await caller.call('fail', null).catch((reason: unknown) => reason)
    assert.ok(error instanceof RouterError)
    assert.deepEqual([error.code, error.retryAfter, error.param], ['queue_full', 7, 'url'])
  })

  test('passes on that the caller has left', async () => {
    const { caller, aborted } = channels()
    const client = new AbortController()
    const answer = caller.call('wait', null, client.signal)
    setImmediate(() => client.abort())
    assert.equal(await within(1000, answer, 'the answer'), 'left')
    assert.equal(await aborted, 'aborted')
  })

  test('fails what waits, and what comes, when the other process is gone', async () => {
    const { caller, cut } = channels()
    const waiting = caller.call('wait', null)
    cut()
    await assert.rejects(within(1000, waiting, 'the failure'), { code: 'draining' })
    await assert.rejects(within(1000, caller.call('double', 1), 'the failure'), { code: 'draining' })
  })
})

describe('slots that are asked for', () => {
  function setUp(of: number | AdmissionQueue) {
    const queue = typeof of === 'number' ? new AdmissionQueue({ maxConcurrent: of, queueSize: 10 }) : of
    const slots = new SharedSlots(queue)
    const admission = new RemoteAdmission({
      // As it comes through a pipe.
      call: (_, order) => {
        const { ticket, standing } = JSON.parse(JSON.stringify(order)) as typeof order
        return slots.enter(ticket, standing)
      },
      tell: (_, ticket) => slots.leave(ticket),
    })
    return { queue, slots, admission }
  }
  const client = () => new AbortController()

  test('go from one request to the next, each given back once', async () => {
    const { queue, admission } = setUp(1)
    const first = await admission.wait(client().signal)
    const second = admission.wait(client().signal)
    assert.equal(queue.queueDepth, 1)
    first.release()
    first.release()
    const slot = await within(1000, second, 'the turn of the second')
    assert.deepEqual([queue.inFlight, queue.queueDepth], [1, 0])
    slot.release()
    assert.equal(queue.inFlight, 0)
  })

  test('are not held by a client that left while it waited, or in the moment of its turn', async () => {
    const { queue, admission, slots } = setUp(1)
    const first = await admission.wait(client().signal)
    const leaver = client()
    const waiting = admission.wait(leaver.signal)
    leaver.abort(new RouterError('client_closed', 'left'))
    await assert.rejects(waiting, { code: 'client_closed' })
    assert.equal(queue.queueDepth, 0)
    // The next in line gets its turn and leaves before anything else happens.
    const late = slots.enter(99)
    first.release()
    slots.leave(99)
    await late
    assert.equal(queue.inFlight, 0)
  })

  test('go by class and tenant, whichever process asks', async () => {
    const queue = new AdmissionQueue({ maxConcurrent: 1, queueSize: 10 })
    const [one, other] = [setUp(queue), setUp(queue)]
    const order: string[] = []
    const ask = async (from: typeof one, name: string, standing: Standing) => {
      const slot = await from.admission.wait(client().signal, standing)
      order.push(name)
      slot.release()
    }
    const held = await one.admission.wait(client().signal)
    const by = (tenant: string, priority: Standing['priority'], weight = 1) => ({ tenant, priority, weight })
    const asked = [
      ask(one, 'low', by('a', 'low')),
      ask(one, 'first of a', by('a', 'normal')),
      ask(other, 'second of a', by('a', 'normal')),
      ask(other, 'first of b', by('b', 'normal', 2)),
      ask(one, 'second of b', by('b', 'normal', 2)),
      ask(other, 'high', by('c', 'high')),
    ]
    held.release()
    await within(1000, Promise.all(asked), 'all turns')
    assert.deepEqual(order, ['high', 'first of a', 'first of b', 'second of b', 'second of a', 'low'])
  })

  test('of a process that is gone are free at once', async () => {
    const { queue, slots } = setUp(2)
    const entered = [1, 2, 3, 4].map((ticket) => slots.enter(ticket))
    const settled = Promise.allSettled(entered)
    await Promise.all(entered.slice(0, 2))
    assert.deepEqual([queue.inFlight, queue.queueDepth], [2, 2])
    slots.leaveAll()
    await settled
    assert.deepEqual([queue.inFlight, queue.queueDepth], [0, 0])
  })
})
