import assert from 'node:assert/strict'
import type { ProbeOptions } from '../../app/workers/probe.ts'
import { Prober } from '../../app/workers/prober.ts'
import type { Worker } from '../../app/workers/worker.ts'
import type { Breaker } from '../../policies/resilience/breaker.ts'
import { AppClock, settled } from './app-clock.ts'
import { type FakeAnswer, FakeClient } from './fake-client.ts'
import { testPool } from './pool.ts'

export const modelList = (...ids: string[]): FakeAnswer => ({
  status: 200,
  body: JSON.stringify({
    object: 'list',
    data: ids.map((id) => ({ id, object: 'model', owned_by: 'vllm' })),
  }),
})

/** A worker that is well: healthy, and with a list of its models. */
export const well = (path: string): FakeAnswer => (path.endsWith('/v1/models') ? modelList('a') : 200)

/** A prober over workers that exist only in a script, on a clock that is turned by hand; without jitter. */
export function probing(options: Partial<ProbeOptions> & { readonly createBreaker?: () => Breaker } = {}) {
  const { createBreaker, ...rest } = options
  const clock = new AppClock()
  const client = new FakeClient(clock)
  const { pool } = testPool({ clock, ...(createBreaker === undefined ? {} : { createBreaker }) })
  /** What was reported: changes of health, warnings. */
  const reports: string[] = []
  const prober = new Prober(client, {
    path: '/health',
    intervalMs: 2000,
    timeoutMs: 5000,
    failureThreshold: 3,
    successThreshold: 2,
    checkIntervalMs: 1000,
    stallMs: 120_000,
    headers: [],
    clock,
    random: () => 0.5,
    events: {
      healthChanged: (worker, from, to) => reports.push(`${worker.url}: ${from.name} -> ${to.name}`),
      notUp: (worker) => reports.push(`${worker.url}: not up`),
      modelsLocked: (worker) => reports.push(`${worker.url}: hides its models`),
    },
    ...rest,
  })
  return {
    clock,
    client,
    pool,
    prober,
    reports,
    /** Registers a worker that answers so, and lets its first probe come to its end. */
    async add(url: string, answer: (path: string) => FakeAnswer = well): Promise<Worker> {
      client.answer(new URL(url).origin, answer)
      const worker = pool.add(url)
      prober.follow(pool)
      await settled()
      return worker
    },
    /** Lets time pass in small steps until the worker is so; milliseconds it took. */
    async until(worker: Worker, name: Worker['health']['name'], withinMs: number): Promise<number> {
      const start = clock.now()
      while (worker.health.name !== name) {
        assert.ok(
          clock.now() - start < withinMs,
          `not ${name} within ${withinMs} ms, but ${worker.health.name}`,
        )
        await clock.pass(50)
      }
      return clock.now() - start
    },
  }
}
