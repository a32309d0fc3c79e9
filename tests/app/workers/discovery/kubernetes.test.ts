import assert from 'node:assert/strict'
import { copyFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { ConfigInput } from '../../../../app/config/settings.ts'
import { type Clock, systemClock } from '../../../../app/runtime/clock.ts'
import { eventually, eventuallyHolds, pause } from '../../../support/deadline.ts'
import { discovering, fastClock } from '../../../support/discovering.ts'
import {
  type FakeKubernetes,
  type FakeKubernetesOptions,
  startFakeKubernetes,
} from '../../../support/fake-kubernetes.ts'
import { endpointSlice, type PodOptions, pod } from '../../../support/kubernetes-objects.ts'

const ip = (number: number): string => `10.0.0.${number}`
const numbered = (number: number, more: Partial<PodOptions> = {}) =>
  pod({ name: `vllm-${number}`, ip: ip(number), ...more })
const url = (number: number): string => `http://${ip(number)}:8000`

interface Options extends Omit<FakeKubernetesOptions, 't'> {
  readonly config?: ConfigInput
  readonly clock?: Clock
  readonly prepare?: (api: FakeKubernetes) => unknown
}

/** A cluster, and a router’s view of it. Lists are an hour apart unless told, so that it is the watch that is seen. */
async function following(t: TestContext, { config, clock = systemClock, prepare, ...options }: Options = {}) {
  const api = await startFakeKubernetes({ t, ...options })
  await prepare?.(api)
  const view = discovering({
    t,
    clock,
    config: {
      serviceDiscovery: true,
      serviceDiscoveryPort: 8000,
      serviceDiscoveryNamespace: 'ml',
      serviceDiscoveryRelistSecs: 3600,
      serviceDiscoveryApiServer: api.url,
      serviceDiscoveryCredentials: api.credentials,
      ...(config?.serviceDiscoveryService === undefined ? { selector: 'app=vllm' } : {}),
      ...config,
    },
  })
  return {
    api,
    ...view,
    until: (...members: string[]) =>
      eventuallyHolds(() => assert.deepEqual(view.members(), members), { what: `the pool is ${members}` }),
    watching: () => eventually(() => api.open === 1, { what: 'a watch' }),
    reported: (pattern: RegExp) =>
      eventuallyHolds(
        () =>
          assert.ok(
            view.reports.some((line) => pattern.test(line)),
            view.reports.join('\n'),
          ),
        {
          what: String(pattern),
        },
      ),
  }
}

describe('pods by label', () => {
  test('are found at the start and followed from there on', async (t) => {
    const prepare = ({ cluster }: FakeKubernetes): void => {
      cluster.put(numbered(1))
      cluster.put(numbered(2, { ready: false }))
    }
    const { api, until, watching } = await following(t, { prepare })
    const { cluster } = api
    await until(url(1))
    await watching()
    cluster.put(numbered(2))
    await until(url(1), url(2))
    cluster.put(numbered(1, { terminating: true }))
    await until(`${url(1)} draining`, url(2))
    cluster.delete(numbered(1))
    await until(url(2))
    assert.equal(api.lists.length, 1)
    assert.equal(api.watches.length, 1)
  })

  test('must carry all the labels, and be in the namespace', async (t) => {
    const labels = { app: 'vllm', tier: 'gpu' }
    const config = { selector: ['app=vllm', 'tier=gpu'] }
    const prepare = ({ cluster }: FakeKubernetes): void => {
      cluster.put(numbered(1, { labels }))
      cluster.put(numbered(2))
      cluster.put(numbered(3, { labels, namespace: 'other' }))
    }
    const { api, until, watching } = await following(t, { config, prepare })
    await until(url(1))
    await watching()
    // A pod whose label is taken away is taken out of rotation, and put back, as with any Service.
    api.cluster.put(numbered(1))
    await until()
    api.cluster.put(numbered(1, { labels }))
    await until(url(1))
    assert.deepEqual([...new Set(api.requests.map(({ path }) => path))], ['/api/v1/namespaces/ml/pods'])
  })

  test('are found in all namespaces when none is named', async (t) => {
    const prepare = ({ cluster }: FakeKubernetes) => cluster.put(numbered(3, { namespace: 'other' }))
    const config = { serviceDiscoveryNamespace: undefined }
    const { api, until } = await following(t, { config, prepare })
    await until(url(3))
    assert.equal(api.requests[0]?.path, '/api/v1/pods')
  })

  test('a pod that is made anew under the same name and address is a new worker', async (t) => {
    const prepare = ({ cluster }: FakeKubernetes) => cluster.put(numbered(1))
    const { api, until, watching, pool } = await following(t, { prepare })
    await until(url(1))
    await watching()
    const [before] = pool.workers
    api.cluster.delete(numbered(1))
    api.cluster.put(numbered(1, { uid: 'second' }))
    await eventually(() => pool.workers[0] !== before, { what: 'another worker' })
    assert.equal(before?.removed, true)
    const [second] = pool.workers
    // The event of the end of the second is lost.
    api.cluster.put(numbered(1, { uid: 'third' }))
    await eventually(() => pool.workers[0] !== second, { what: 'a third worker' })
    assert.deepEqual([second?.removed, pool.workers.length], [true, 1])
  })

  test('a port that a pod does not name is reported, and the others are found', async (t) => {
    const prepare = ({ cluster }: FakeKubernetes): void => {
      cluster.put(numbered(1))
      cluster.put(numbered(2, { ports: [{ name: 'http', containerPort: 8000 }] }))
    }
    const config = { serviceDiscoveryPort: 'http' }
    const { until, reported } = await following(t, { config, prepare })
    await until(url(2))
    await reported(/^kubernetes: interpret: pod vllm-1 has no port called http$/)
  })
})

describe('EndpointSlices of Services', () => {
  const slice = (
    name: string,
    service: string,
    endpoints: Parameters<typeof endpointSlice>[0]['endpoints'],
  ) => endpointSlice({ name, service, endpoints, ports: [{ name: 'http', port: 8000 }] })
  const config = { serviceDiscoveryService: ['vllm', 'vllm-big'], serviceDiscoveryPort: 'http' }

  test('are found and followed by their conditions', async (t) => {
    const prepare = ({ cluster }: FakeKubernetes): void => {
      cluster.put(
        slice('s1', 'vllm', [
          { address: ip(1), uid: 'a' },
          { address: ip(2), uid: 'b', ready: false },
        ]),
      )
      cluster.put(slice('s2', 'vllm-big', [{ address: ip(3), uid: 'c' }]))
      cluster.put(slice('s3', 'somebody-else', [{ address: ip(9) }]))
    }
    const { api, until, watching } = await following(t, { config, prepare })
    await until(url(1), url(3))
    await watching()
    const going = { address: ip(1), uid: 'a', ready: false, serving: true, terminating: true }
    api.cluster.put(slice('s1', 'vllm', [going, { address: ip(2), uid: 'b' }]))
    await until(`${url(1)} draining`, url(2), url(3))
    api.cluster.put(slice('s1', 'vllm', []))
    await until(url(3))
    assert.equal(api.requests[0]?.path, '/apis/discovery.k8s.io/v1/namespaces/ml/endpointslices')
  })

  test('an endpoint that is moved to another slice stays the same worker', async (t) => {
    const prepare = ({ cluster }: FakeKubernetes) =>
      cluster.put(slice('s1', 'vllm', [{ address: ip(1), uid: 'a' }]))
    const { api, until, watching, pool } = await following(t, { config, prepare })
    await until(url(1))
    await watching()
    const [before] = pool.workers
    api.cluster.put(
      slice('s4', 'vllm', [
        { address: ip(1), uid: 'a' },
        { address: ip(2), uid: 'b' },
      ]),
    )
    api.cluster.put(slice('s1', 'vllm', []))
    await until(url(1), url(2))
    assert.ok(before !== undefined && pool.workers.includes(before))
  })
})

describe('the API server and the account', () => {
  test('a token that rotates is used, the old one no more', async (t) => {
    const { api, until, watching } = await following(t)
    await watching()
    await api.rotateToken()
    api.endWatches()
    await eventually(() => api.watches.length === 2, { what: 'a watch with the new token' })
    assert.deepEqual([...new Set(api.watches.map(({ token }) => token))], ['token-1', 'token-2'])
    api.cluster.put(numbered(1))
    await until(url(1))
  })

  test('an authority that is not the cluster’s is not talked to; nobody gets the token', async (t) => {
    const prepare = ({ credentials }: FakeKubernetes) =>
      copyFile(
        fileURLToPath(new URL('../../../support/certificates/other-ca.crt', import.meta.url)),
        join(credentials, 'ca.crt'),
      )
    const { api, reported } = await following(t, { prepare })
    await reported(/^kubernetes: list: .*UNABLE_TO_VERIFY/)
    assert.equal(api.requests.length, 0)
  })

  test('a missing token is reported and found when it comes', async (t) => {
    const prepare = async ({ cluster, credentials }: FakeKubernetes): Promise<void> => {
      cluster.put(numbered(1))
      await rm(join(credentials, 'token'))
    }
    const { api, reported, until } = await following(t, { prepare })
    await reported(/^kubernetes: list: .*ENOENT/)
    await api.rotateToken()
    await until(url(1))
    await reported(/^kubernetes: list recovered$/)
  })

  test('what the server says to a refusal is told to the operator', async (t) => {
    const { reported } = await following(t, {
      prepare: (api) => {
        api.intercept = (_request, response) => {
          const message =
            'pods is forbidden: User "system:serviceaccount:ml:router" cannot list resource "pods"'
          response.writeHead(403, { 'content-type': 'application/json' })
          response.end(JSON.stringify({ kind: 'Status', message, code: 403 }))
          return true
        }
      },
    })
    await reported(/^kubernetes: list: 403 pods is forbidden: User "system:serviceaccount:ml:router"/)
  })
})

describe('a watch', () => {
  test('is opened again where it ended, and needs no list for that', async (t) => {
    const { api, until, watching, reports } = await following(t)
    await watching()
    api.cluster.put(numbered(1))
    await until(url(1))
    api.endWatches()
    api.cluster.put(numbered(2))
    await until(url(1), url(2))
    assert.equal(api.lists.length, 1)
    const places = api.watches.map(({ query }) => query.get('resourceVersion'))
    assert.deepEqual(places, ['1000', '1001'])
    assert.deepEqual(reports, [])
  })

  test('goes on from its bookmarks: a quiet cluster’s history may be forgotten', async (t) => {
    const { api, until, watching } = await following(t, { bookmarkMs: 20 })
    await watching()
    api.cluster.put(numbered(9, { labels: { app: 'other' } }))
    await pause(100)
    api.cluster.compact()
    api.endWatches()
    await eventually(() => api.watches.length === 2, { what: 'another watch' })
    api.cluster.put(numbered(1))
    await until(url(1))
    assert.equal(api.lists.length, 1)
  })

  test('whose place is forgotten (410) begins again from a list, and that is no failure', async (t) => {
    const { api, until, watching, reports } = await following(t)
    await watching()
    api.cluster.put(numbered(9))
    await until(url(9))
    api.intercept = ({ query }) => {
      // While it is away, a pod comes that only a list can tell about.
      if (query.has('watch') && api.lists.length === 1 && api.cluster.oldest === 1000) {
        api.cluster.put(numbered(1))
        api.cluster.compact()
      }
      return false
    }
    api.endWatches()
    await until(url(1), url(9))
    assert.equal(api.lists.length, 2)
    assert.equal(api.lists[1]?.query.has('resourceVersion'), false, 'the latest state is asked for')
    api.cluster.put(numbered(2))
    await until(url(1), url(2), url(9))
    assert.deepEqual(reports, [])
  })

  test('gets 410 as a status, too', async (t) => {
    const { api, until, watching } = await following(t)
    await watching()
    api.fail({ status410: 1 })
    api.endWatches()
    await eventually(() => api.requests.length >= 3, { what: 'a refused watch' })
    api.fail({})
    api.cluster.put(numbered(1))
    await until(url(1))
  })

  test('cut in the middle of a line has told nothing of that line, and goes on', async (t) => {
    const { api, until, watching } = await following(t)
    await watching()
    api.fail({ cut: 1 })
    api.cluster.put(numbered(1))
    await eventually(() => api.open === 0, { what: 'the cut' })
    api.fail({})
    await until(url(1))
  })

  test('that ends at once each time, or is refused, is not asked for in a rush', async (t) => {
    const { api, reported } = await following(t)
    api.intercept = ({ query }, response) => {
      if (!query.has('watch')) return false
      response.writeHead(200)
      response.end()
      return true
    }
    api.endWatches()
    await reported(/^kubernetes: watch: it ended at once$/)
    const before = api.requests.length
    await pause(1500)
    const count = api.requests.length - before
    assert.ok(count <= 8, `${count} requests in 1.5 s`)
    api.intercept = undefined
    await reported(/^kubernetes: watch recovered$/)
  })

  test('honours Retry-After of a 429', async (t) => {
    const { api, watching, reported } = await following(t)
    await watching()
    api.fail({ status429: 1 })
    api.endWatches()
    await reported(/^kubernetes: watch: 429 slow down$/)
    const { length } = api.requests
    api.fail({})
    await eventually(() => api.requests.length > length, { what: 'another try' })
    const [refused, next] = api.requests.slice(-2).map(({ at }) => at)
    assert.ok((next ?? 0) - (refused ?? 0) >= 950, `after ${(next ?? 0) - (refused ?? 0)} ms`)
  })

  test('that has gone deaf is found by the next list, and opened anew', async (t) => {
    const config = { serviceDiscoveryRelistSecs: 0.2 }
    const { api, until, watching } = await following(t, { config })
    await watching()
    api.fail({ lose: 1 })
    api.cluster.put(numbered(1))
    await until(url(1))
    await eventually(() => api.watches.length >= 2, { what: 'another watch' })
    assert.equal(api.lists[1]?.query.get('resourceVersionMatch'), 'NotOlderThan')
  })
})

describe('a list', () => {
  test('that fails is tried again with growing pauses, and then asks for the latest state', async (t) => {
    const { api, until, reported } = await following(t, {
      clock: fastClock(4),
      prepare: (cluster) => cluster.fail({ status500: 1 }),
    })
    await reported(/^kubernetes: list: 500 etcdserver: request timed out$/)
    api.cluster.put(numbered(1))
    await eventually(() => api.requests.length >= 4, { what: 'further tries' })
    const times = api.requests.map(({ at }) => at)
    const pauses = times.slice(1).map((at, index) => at - (times[index] ?? 0))
    // 200 ms, doubled each time, half as much or more by chance; four times as fast.
    assert.ok((pauses[0] ?? 0) >= 22 && (pauses[2] ?? 0) >= 95, pauses.join(' '))
    api.fail({})
    await until(url(1))
  })

  test('of a cluster that was restored from a backup is believed, although its versions are older', async (t) => {
    const config = { serviceDiscoveryRelistSecs: 0.2 }
    const { api, until, watching } = await following(t, { config })
    await watching()
    for (const number of [1, 2, 3]) api.cluster.put(numbered(number))
    await until(url(1), url(2), url(3))
    api.cluster.restore()
    api.cluster.delete(numbered(2))
    await until(url(1), url(3))
    await eventually(() => api.watches.at(-1)?.query.get('resourceVersion')?.length === 2, {
      what: 'a new watch',
    })
    api.cluster.put(numbered(4))
    await until(url(1), url(3), url(4))
  })

  test('without an answer ends at its deadline and is tried again', async (t) => {
    const { api, until, reported } = await following(t, {
      clock: fastClock(20),
      prepare: (cluster) => {
        cluster.intercept = () => true
      },
    })
    await reported(/^kubernetes: list: no answer within 10 s$/)
    api.intercept = undefined
    api.cluster.put(numbered(1))
    await until(url(1))
  })

  test('the source grows old only while nothing answers', async (t) => {
    const clock = fastClock(100)
    const { api, discovery, watching } = await following(t, {
      clock,
      config: { serviceDiscoveryRelistSecs: 30 },
    })
    const age = () => discovery.status()[0]?.ageMs ?? Number.NaN
    await watching()
    // Two minutes of its time.
    for (let look = 0; look < 12; look++) {
      await pause(100)
      assert.ok(age() < 45_000, `${age()} ms`)
    }
    api.fail({ status500: 1 })
    api.endWatches()
    await eventually(() => age() > 60_000, { what: 'old age' })
    api.fail({})
    await eventually(() => age() < 30_000, { what: 'youth' })
  })
})

test('a router that stops leaves no watch behind', async (t) => {
  const { api, discovery, watching } = await following(t)
  await watching()
  discovery.stop()
  await eventually(() => api.open === 0, { what: 'the end of the watch' })
  const { length } = api.requests
  await pause(300)
  assert.equal(api.requests.length, length)
})
