import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import type { ApiObject } from '../../../../app/workers/discovery/kubernetes/api-object.ts'
import {
  type EndpointSlice,
  sliceWorkers,
} from '../../../../app/workers/discovery/kubernetes/endpoint-slices.ts'
import { oneEach } from '../../../../app/workers/discovery/kubernetes/found.ts'
import { type Change, ObjectStore } from '../../../../app/workers/discovery/kubernetes/object-store.ts'
import { type Pod, podWorkers } from '../../../../app/workers/discovery/kubernetes/pods.ts'
import {
  endpointSlice,
  type PodOptions,
  pod,
  type SliceOptions,
} from '../../../support/kubernetes-objects.ts'

const ofPods = (port: string, ...pods: PodOptions[]) => podWorkers(pods.map(pod) as unknown as Pod[], port)
const ofSlices = (port: string, ...slices: SliceOptions[]) =>
  sliceWorkers(slices.map(endpointSlice) as unknown as EndpointSlice[], port)
/** `http://a draining` */
const words = ({ members }: ReturnType<typeof ofPods>) =>
  members.map(({ url, draining }) => `${url}${draining === true ? ' draining' : ''}`)

describe('pods', () => {
  const ip = '10.0.0.1'

  test('ready is a worker, ready and terminating finishes what it has, not ready is none', () => {
    assert.deepEqual(words(ofPods('8000', { name: 'a', ip })), ['http://10.0.0.1:8000'])
    assert.deepEqual(words(ofPods('8000', { name: 'a', ip, terminating: true })), [
      'http://10.0.0.1:8000 draining',
    ])
    assert.deepEqual(words(ofPods('8000', { name: 'a', ip, ready: false })), [])
    assert.deepEqual(words(ofPods('8000', { name: 'a', ip, ready: false, terminating: true })), [])
  })

  test('a pod without address, or one that has ended, is none whatever its conditions say', () => {
    assert.deepEqual(words(ofPods('8000', { name: 'a', ip: '' })), [])
    for (const phase of ['Succeeded', 'Failed'])
      assert.deepEqual(words(ofPods('8000', { name: 'a', ip, phase })), [])
  })

  test('the annotation has it drain, any other value does not', () => {
    const annotated = (value: string) =>
      words(ofPods('80', { name: 'a', ip, annotations: { 'vllm-router/draining': value } }))
    assert.deepEqual(annotated('true'), ['http://10.0.0.1:80 draining'])
    assert.deepEqual(annotated('false'), ['http://10.0.0.1:80'])
  })

  test('an annotation is its weight; one that is no weight is told, and the usual one holds', () => {
    const annotated = (value: string) =>
      ofPods('80', { name: 'a', ip, annotations: { 'vllm-router/weight': value } })
    assert.deepEqual(
      ['2', '0.5'].map((value) => annotated(value).members[0]?.weight),
      [2, 0.5],
    )
    for (const wrong of ['', 'heavy', '0', '-1', '1000', 'NaN']) {
      const { members, problems } = annotated(wrong)
      assert.equal(members[0]?.weight, undefined)
      assert.match(
        problems[0] ?? '',
        /pod a: the annotation vllm-router\/weight is ".*", no number from 0.01/,
      )
    }
  })

  test('a port has a number, or a name that each pod resolves for itself', () => {
    const ports = [{ containerPort: 9000 }, { name: 'http', containerPort: 8001 }]
    assert.deepEqual(words(ofPods('http', { name: 'a', ip, ports })), ['http://10.0.0.1:8001'])
    assert.deepEqual(words(ofPods('8080', { name: 'a', ip, ports })), ['http://10.0.0.1:8080'])
    const none = ofPods('http', { name: 'a', ip }, { name: 'b', ip: '10.0.0.2', ports })
    assert.deepEqual(words(none), ['http://10.0.0.2:8001'])
    assert.deepEqual(none.problems, ['pod a has no port called http'])
  })

  test('a sidecar among the init containers counts for names, one that has ended does not', () => {
    const withInit = (restartPolicy?: string) => {
      const init = [{ restartPolicy, ports: [{ name: 'http', containerPort: 8002 }] }]
      const made = { ...pod({ name: 'a', ip }), spec: { containers: [], initContainers: init } }
      return words(podWorkers([made as unknown as Pod], 'http'))
    }
    assert.deepEqual(withInit('Always'), ['http://10.0.0.1:8002'])
    assert.deepEqual(withInit(), [])
  })

  test('IPv6 addresses stand in brackets', () => {
    assert.deepEqual(words(ofPods('80', { name: 'a', ip: 'fd00::1' })), ['http://[fd00::1]:80'])
  })
})

describe('EndpointSlices', () => {
  const slice = (endpoint: SliceOptions['endpoints'][number], more: Partial<SliceOptions> = {}) =>
    words(ofSlices('8000', { name: 's', service: 'vllm', endpoints: [endpoint], ...more }))
  const address = '10.0.0.1'

  test('conditions: what is missing is ready; terminating and serving finishes; not serving is none', () => {
    const worker = ['http://10.0.0.1:8000']
    const draining = ['http://10.0.0.1:8000 draining']
    assert.deepEqual(slice({ address }), worker)
    assert.deepEqual(slice({ address, ready: null, serving: null, terminating: null }), worker)
    assert.deepEqual(slice({ address, ready: true, serving: true, terminating: false }), worker)
    assert.deepEqual(slice({ address, ready: false, serving: false, terminating: false }), [])
    assert.deepEqual(slice({ address, ready: false }), [])
    assert.deepEqual(slice({ address, ready: false, serving: true, terminating: true }), draining)
    assert.deepEqual(slice({ address, ready: false, serving: false, terminating: true }), [])
  })

  test('a Service that publishes addresses which are not ready calls them ready: so they are', () => {
    assert.deepEqual(slice({ address, ready: true, serving: false }), ['http://10.0.0.1:8000'])
  })

  test('the annotation on a slice has all its endpoints drain', () => {
    assert.deepEqual(slice({ address }, { annotations: { 'vllm-router/draining': 'true' } }), [
      'http://10.0.0.1:8000 draining',
    ])
  })

  test('a port by name is the slice’s own, by number any', () => {
    const options = { name: 's', service: 'vllm', endpoints: [{ address }] }
    const ports = [{ name: 'metrics', port: 9000 }, { name: 'http', port: 8001 }, { port: 1 }]
    assert.deepEqual(words(ofSlices('http', { ...options, ports })), ['http://10.0.0.1:8001'])
    assert.deepEqual(words(ofSlices('8000', { ...options, ports })), ['http://10.0.0.1:8000'])
    const none = ofSlices('grpc', { ...options, ports })
    assert.deepEqual([none.members, none.problems], [[], ['EndpointSlice s has no port called grpc']])
  })

  test('slices of names, and those without endpoints, bring no workers and no complaint', () => {
    const empty = ofSlices('http', { name: 's', service: 'vllm', endpoints: [] })
    assert.deepEqual(empty, { members: [], problems: [] })
    assert.deepEqual(slice({ address: 'a.example' }, { addressType: 'FQDN' }), [])
  })

  test('an address in two slices, as while Kubernetes moves it, is one worker: the one that takes requests', () => {
    const [url, other] = ['http://10.0.0.1:8000', 'http://10.0.0.2:8000']
    const both = [{ url, draining: true }, { url: other }, { url, identity: 'x', draining: false }]
    assert.deepEqual(oneEach(both), [{ url, identity: 'x', draining: false }, { url: other }])
  })
})

describe('the store of a list and a watch', () => {
  const object = (uid: string, version: number): ApiObject => ({
    metadata: { uid, resourceVersion: String(version) },
  })
  const versions = (store: ObjectStore) =>
    store.objects.map(({ metadata }) => `${metadata.uid}@${metadata.resourceVersion}`).sort()

  test('an event that comes twice, or from before the list, is no news', () => {
    const store = new ObjectStore()
    assert.equal(store.replace([object('a', 5)], '10'), true)
    assert.equal(store.apply('ADDED', object('a', 5)), false)
    assert.equal(store.apply('ADDED', object('b', 9)), false)
    assert.equal(store.apply('ADDED', object('b', 11)), true)
    assert.equal(store.apply('ADDED', object('b', 11)), false)
    assert.deepEqual(versions(store), ['a@5', 'b@11'])
  })

  test('a list from before an event does not undo it', () => {
    const store = new ObjectStore()
    store.replace([object('a', 5), object('b', 6)], '10')
    store.apply('DELETED', object('a', 12))
    store.apply('MODIFIED', object('b', 13))
    store.apply('ADDED', object('c', 14))
    assert.equal(store.replace([object('a', 5), object('b', 6)], '11'), false)
    assert.deepEqual(versions(store), ['b@13', 'c@14'])
  })

  test('what a later list does not have is gone', () => {
    const store = new ObjectStore()
    store.replace([object('a', 5), object('b', 6)], '10')
    assert.equal(store.replace([object('b', 6)], '20'), true)
    assert.deepEqual(versions(store), ['b@6'])
  })

  test('versions that cannot be compared count in the order in which they come', () => {
    const store = new ObjectStore()
    const named = (uid: string, resourceVersion: string) => ({ metadata: { uid, resourceVersion } })
    store.replace([named('a', 'x')], 'l1')
    store.apply('MODIFIED', named('a', 'w'))
    assert.deepEqual(versions(store), ['a@w'])
    store.replace([named('a', 'v')], 'l2')
    assert.deepEqual(versions(store), ['a@v'])
  })

  test('after any events lost, doubled and reordered, a list makes it equal to the truth', () => {
    const step = fc.record({
      uid: fc.constantFrom('a', 'b', 'c'),
      remove: fc.boolean(),
      fate: fc.constantFrom('sent', 'lost', 'twice', 'late'),
      list: fc.constantFrom('none', 'now', 'late'),
    })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const store = new ObjectStore()
        const truth = new Map<string, ApiObject>()
        let version = 1
        let late: (() => unknown)[] = []
        const listing = () => [[...truth.values()], String(version)] as const
        store.replace(...listing())
        for (const { uid, remove, fate, list } of steps) {
          const known = truth.get(uid)
          if (remove && known === undefined) continue
          version += 1
          const now = object(uid, version)
          const change: Change = remove ? 'DELETED' : known === undefined ? 'ADDED' : 'MODIFIED'
          if (remove) truth.delete(uid)
          else truth.set(uid, now)
          const tell = () => store.apply(change, now)
          const before = late
          late = []
          if (fate === 'late') late.push(tell)
          else if (fate !== 'lost') tell()
          if (fate === 'twice') tell()
          for (const one of before) one()
          const snapshot = listing()
          if (list === 'now') store.replace(...snapshot)
          if (list === 'late') late.push(() => store.replace(...snapshot))
        }
        for (const one of late) one()
        store.replace(...listing())
        const expected = [...truth.values()].map(({ metadata: m }) => `${m.uid}@${m.resourceVersion}`)
        assert.deepEqual(versions(store), expected.sort())
      }),
      { numRuns: 500 },
    )
  })
})
