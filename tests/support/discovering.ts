import { resolveOptions } from '../../app/config/resolve-options.ts'
import type { ConfigInput } from '../../app/config/settings.ts'
import type { Clock } from '../../app/runtime/clock.ts'
import type { DiscoveryEvents } from '../../app/workers/discovery/discovery.ts'
import { type CreateDiscoveryOptions, createDiscovery } from '../../app/workers/discovery/index.ts'
import { Prober } from '../../app/workers/prober.ts'
import {
  type RegistryEvents,
  WorkerRegistry,
  type WorkerRegistryOptions,
} from '../../app/workers/registry.ts'
import { AppClock } from './app-clock.ts'
import { FakeClient } from './fake-client.ts'
import { testPool } from './pool.ts'
import { seeded } from './random.ts'
import type { Scope } from './scope.ts'

/** A pool, its registry and nobody behind the addresses; everything that is reported becomes a line. */
export function registering({
  allow = [],
  ...options
}: Partial<Pick<WorkerRegistryOptions, 'allow' | 'setTls' | 'onOperatorChange'>> = {}) {
  const clock = new AppClock()
  const reports: string[] = []
  const { pool } = testPool({ clock })
  const events: RegistryEvents & DiscoveryEvents = {
    drainingChanged: ({ url, draining }) => reports.push(`${url} ${draining ? 'draining' : 'serving'}`),
    refused: (source, url) => reports.push(`${source}: ${url} refused`),
    sourceFailed: (source, activity, reason, first) => {
      if (first) reports.push(`${source}: ${activity}: ${reason}`)
    },
    sourceRecovered: (source, activity) => reports.push(`${source}: ${activity} recovered`),
  }
  const prober = new Prober(new FakeClient(clock), {
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
    events: { healthChanged: () => {}, notUp: () => {} },
  })
  const registry = new WorkerRegistry({ pool, prober, allow, events, ...options })
  return {
    pool,
    registry,
    reports,
    events,
    prober,
    /** The pool in words, sorted: `http://a draining`. */
    members: () => pool.workers.map(({ url, draining }) => `${url}${draining ? ' draining' : ''}`).sort(),
  }
}

export interface DiscoveringOptions extends Pick<CreateDiscoveryOptions, 'clock'> {
  readonly t: Scope
  readonly config: ConfigInput
  readonly parts?: Partial<Pick<CreateDiscoveryOptions, 'get' | 'resolver' | 'env'>>
}

/** The same, with sources that are running. */
export function discovering({ t, config, clock, parts }: DiscoveringOptions) {
  const kit = registering()
  const { registry, events } = kit
  const options = { config: resolveOptions(config), registry, clock, random: seeded(1), events, ...parts }
  const discovery = createDiscovery(options)
  t.after(() => {
    discovery.stop()
    kit.prober.stop()
  })
  discovery.start()
  return { ...kit, discovery }
}

/** The system's clock, so many times as fast. */
export function fastClock(factor: number): Clock {
  return {
    now: () => performance.now() * factor,
    after(ms, fire) {
      const timer = setTimeout(fire, Math.min(ms / factor, 2 ** 31 - 1))
      return () => clearTimeout(timer)
    },
  }
}
