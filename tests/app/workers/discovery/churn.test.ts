/** Thousands of things that happen to a cluster, told badly: what the router believes in the end must be true. */

import assert from 'node:assert/strict'
import { describe, type TestContext, test } from 'node:test'
import type { ConfigInput } from '../../../../app/config/settings.ts'
import type { Worker } from '../../../../app/workers/worker.ts'
import { eventually, eventuallyHolds, pause } from '../../../support/deadline.ts'
import { discovering, fastClock } from '../../../support/discovering.ts'
import { type ApiFaults, type FakeKubernetes, startFakeKubernetes } from '../../../support/fake-kubernetes.ts'
import { endpointSlice, pod } from '../../../support/kubernetes-objects.ts'
import { type Random, seeded } from '../../../support/random.ts'

/** What is true of one pod. */
interface State {
  readonly uid: string
  readonly ip: string
  readonly ready: boolean
  readonly terminating: boolean
}

type Truth = Map<string, State>

const faults: ApiFaults = {
  lose: 0.1,
  duplicate: 0.15,
  reorder: 0.15,
  cut: 0.03,
  expire: 0.02,
  status410: 0.03,
  status429: 0.05,
  status500: 0.1,
}

/** One random thing that happens to a cluster of up to 12 pods. Returns the name of the pod. */
function change(truth: Truth, random: Random): string {
  const name = `vllm-${Math.floor(random() * 12)}`
  const known = truth.get(name)
  const uid = `${name}/${random()}`
  const chance = random()
  if (known === undefined) {
    // Few addresses, so that pods inherit them from each other.
    const used = new Set([...truth.values()].map(({ ip }) => ip))
    const free = Array.from({ length: 14 }, (_, index) => `10.0.0.${index}`).filter((ip) => !used.has(ip))
    const ip = free[Math.floor(random() * free.length)] ?? '10.0.1.0'
    truth.set(name, { uid, ip, ready: chance < 0.7, terminating: false })
  } else if (chance < 0.25) truth.set(name, { ...known, ready: !known.ready })
  else if (chance < 0.5) truth.set(name, { ...known, terminating: true })
  else if (chance < 0.6) truth.set(name, { ...known, uid, ready: true, terminating: false })
  else truth.delete(name)
  return name
}

/** The pool as it must be: `http://a draining`, sorted. */
function expected(truth: Truth): string[] {
  return [...truth.values()]
    .filter(({ ready }) => ready)
    .map(({ ip, terminating }) => `http://${ip}:8000${terminating ? ' draining' : ''}`)
    .sort()
}

interface Telling {
  readonly config: ConfigInput
  /** Tells the API server what became of a pod. */
  tell(api: FakeKubernetes, truth: Truth, name: string): void
}

const byPods: Telling = {
  config: { selector: ['app=vllm'] },
  tell({ cluster }, truth, name) {
    const state = truth.get(name)
    const [before] = cluster
      .list({ kind: 'Pod', namespace: 'ml', labels: () => true })
      .filter(({ metadata }) => metadata.name === name)
    if (before !== undefined && before.metadata.uid !== state?.uid) cluster.delete(before)
    if (state !== undefined) cluster.put(pod({ name, ...state }))
  },
}

const bySlices: Telling = {
  config: { serviceDiscoveryService: ['vllm'] },
  tell({ cluster }, truth, name) {
    const group = (pod: string): number => Number(pod.replace('vllm-', '')) % 3
    const endpoints = [...truth]
      .filter(([other]) => group(other) === group(name))
      .map(([, { uid, ip, ready, terminating }]) => ({
        address: ip,
        uid,
        ready: ready && !terminating,
        serving: ready,
        terminating,
      }))
    cluster.put(endpointSlice({ name: `vllm-${group(name)}`, service: 'vllm', endpoints }))
  },
}

/** A router’s clock ten times as fast: its lists come every 0.5 s. */
async function start(t: TestContext, { config }: Telling, seed: number) {
  const api = await startFakeKubernetes({ t, seed, bookmarkMs: 100 })
  const view = discovering({
    t,
    clock: fastClock(10),
    config: {
      serviceDiscovery: true,
      serviceDiscoveryPort: 8000,
      serviceDiscoveryNamespace: 'ml',
      serviceDiscoveryRelistSecs: 5,
      serviceDiscoveryApiServer: api.url,
      serviceDiscoveryCredentials: api.credentials,
      ...config,
    },
  })
  await eventually(() => api.open === 1, { what: 'a watch' })
  api.fail(faults)
  return { api, ...view }
}

interface Run {
  readonly telling: Telling
  readonly changes: number
  readonly seed: number
}

async function run(t: TestContext, { telling, changes, seed }: Run): Promise<void> {
  const { api, members, pool } = await start(t, telling, seed)
  const random = seeded(seed)
  const truth: Truth = new Map()
  let seen = new Map<string, { uid: string; worker: Worker }>()
  for (let count = 1; count <= changes; count++) {
    telling.tell(api, truth, change(truth, random))
    if (random() < 0.02) api.cluster.compact()
    if (random() < 0.01) await api.rotateToken()
    if (random() < 0.3) await pause(random() * 8)
    if (count % 100 !== 0) continue
    const stillSince = performance.now()
    const { what, withinMs } = { what: `a list after change ${count}`, withinMs: 10_000 }
    await eventually(() => api.lists.some(({ at }) => at > stillSince), { what, withinMs })
    const equal = () => assert.deepEqual(members(), expected(truth))
    await eventuallyHolds(equal, { what: `the truth after change ${count}`, withinMs: 2000 })
    const now = new Map<string, { uid: string; worker: Worker }>()
    for (const { uid, ip } of truth.values()) {
      const worker = pool.workers.find(({ url }) => url === `http://${ip}:8000`)
      if (worker !== undefined) now.set(ip, { uid, worker })
    }
    for (const [ip, { uid, worker }] of seen)
      if (now.get(ip)?.uid !== uid) assert.notEqual(now.get(ip)?.worker, worker, `${ip} is another pod`)
    seen = now
  }
  assert.ok(api.watches.length > 5, `${api.watches.length} watches`)
}

describe('after random changes of membership, told with events lost, doubled, reordered and cut', () => {
  test(
    'of pods, 1,000 of them, the pool is the truth within 2 s after the next list',
    {
      timeout: 90_000,
    },
    (t) => run(t, { telling: byPods, changes: 1000, seed: 11 }),
  )

  test('of EndpointSlices, 400 of them, likewise', { timeout: 90_000 }, (t) =>
    run(t, { telling: bySlices, changes: 400, seed: 12 }),
  )
})
