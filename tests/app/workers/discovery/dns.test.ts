import assert from 'node:assert/strict'
import { describe, type TestContext, test } from 'node:test'
import { dnsName, parseDnsName } from '../../../../app/config/kinds/dns-name.ts'
import type { Resolver } from '../../../../app/workers/discovery/dns-source.ts'
import { systemResolver } from '../../../../app/workers/discovery/dns-source.ts'
import { AppClock, settled } from '../../../support/app-clock.ts'
import { discovering } from '../../../support/discovering.ts'

/** A name server that knows what it is told. */
class FakeResolver implements Resolver {
  readonly hosts = new Map<string, readonly string[]>()
  readonly records = new Map<string, readonly { name: string; port: number }[]>()
  asked = 0
  silent = false

  addresses(host: string): Promise<readonly string[]> {
    return this.#answer(this.hosts.get(host))
  }

  services(name: string): Promise<readonly { name: string; port: number }[]> {
    return this.#answer(this.records.get(name))
  }

  #answer<T>(known: T | undefined): Promise<T> {
    this.asked += 1
    if (this.silent) return new Promise(() => {})
    if (known !== undefined) return Promise.resolve(known)
    return Promise.reject(Object.assign(new Error('no such name'), { code: 'ENOTFOUND' }))
  }
}

function following(t: TestContext, ...workerDns: string[]) {
  const clock = new AppClock()
  const resolver = new FakeResolver()
  return {
    clock,
    resolver,
    start: () => discovering({ t, clock, config: { workerDns }, parts: { resolver } }),
  }
}

describe('an entry of --worker-dns', () => {
  test('is a host with a port, or the name of SRV records', () => {
    const host = { value: 'dns://vllm.ml.svc:8000' }
    assert.deepEqual(parseDnsName('vllm.ml.svc:8000'), host)
    assert.deepEqual(parseDnsName('dns://VLLM.ml.svc:08000'), host)
    assert.deepEqual(dnsName(host.value), { kind: 'address', host: 'vllm.ml.svc', port: 8000 })
    const service = 'dns+srv://_http._tcp.vllm.ml.svc.cluster.local'
    assert.deepEqual(parseDnsName(service), { value: service })
    assert.deepEqual(dnsName(service), { kind: 'service', name: '_http._tcp.vllm.ml.svc.cluster.local' })
  })

  test('is refused with a reason otherwise', () => {
    for (const wrong of [
      'vllm',
      'http://vllm:80',
      'dns://vllm:0',
      'dns://vllm:70000',
      'dns+srv://vllm:80',
      'dns://',
    ]) {
      const parsed = parseDnsName(wrong)
      assert.ok(!('value' in parsed) && parsed.hint !== undefined, wrong)
    }
  })
})

describe('--worker-dns', () => {
  test('each address behind a name is a worker; the name is asked again and again', async (t) => {
    const { clock, resolver, start } = following(t, 'vllm:8000')
    resolver.hosts.set('vllm', ['10.0.0.2', '10.0.0.1', 'fd00::1'])
    const { members, pool, discovery } = start()
    await settled()
    assert.deepEqual(members(), ['http://10.0.0.1:8000', 'http://10.0.0.2:8000', 'http://[fd00::1]:8000'])
    const [first] = pool.workers
    resolver.hosts.set('vllm', ['10.0.0.3', '10.0.0.1'])
    await clock.pass(6000, 500)
    assert.deepEqual(members(), ['http://10.0.0.1:8000', 'http://10.0.0.3:8000'])
    assert.ok(first !== undefined && pool.workers.includes(first), 'who stays is the same worker')
    const asked = resolver.asked
    await clock.pass(60_000, 500)
    assert.ok(Math.abs(resolver.asked - asked - 12) <= 2, `${resolver.asked - asked} times a minute`)
    assert.ok((discovery.status()[0]?.ageMs ?? Number.NaN) <= 6000)
  })

  test('SRV records bring the port of each worker', async (t) => {
    const { resolver, start } = following(t, 'dns+srv://_http._tcp.vllm')
    resolver.records.set('_http._tcp.vllm', [
      { name: 'pod-0.vllm', port: 8001 },
      { name: 'pod-1.vllm', port: 8002 },
    ])
    resolver.hosts.set('pod-0.vllm', ['10.0.0.1'])
    resolver.hosts.set('pod-1.vllm', ['10.0.0.2'])
    const { members } = start()
    await settled()
    assert.deepEqual(members(), ['http://10.0.0.1:8001', 'http://10.0.0.2:8002'])
  })

  test('no such name, an empty answer and no answer keep what was found last', async (t) => {
    const { clock, resolver, start } = following(t, 'vllm:8000')
    resolver.hosts.set('vllm', ['10.0.0.1'])
    const { members, reports, discovery } = start()
    await settled()
    resolver.hosts.delete('vllm')
    await clock.pass(12_000, 500)
    resolver.hosts.set('vllm', [])
    await clock.pass(6000, 500)
    resolver.silent = true
    await clock.pass(30_000, 500)
    assert.deepEqual(members(), ['http://10.0.0.1:8000'])
    assert.deepEqual(reports, [
      'dns://vllm:8000: resolve: ENOTFOUND',
      'dns://vllm:8000: resolve: an empty answer',
      'dns://vllm:8000: resolve: no answer within 10 s',
    ])
    assert.ok((discovery.status()[0]?.ageMs ?? 0) > 40_000)
  })

  test('each name stands for itself: one that fails holds up no other', async (t) => {
    const { clock, resolver, start } = following(t, 'a:1', 'b:1')
    resolver.hosts.set('a', ['10.0.0.1'])
    const { members, reports } = start()
    await settled()
    assert.deepEqual(members(), ['http://10.0.0.1:1'])
    resolver.hosts.set('b', ['10.0.0.2'])
    await clock.pass(6000, 500)
    assert.deepEqual(members(), ['http://10.0.0.1:1', 'http://10.0.0.2:1'])
    assert.deepEqual(reports, ['dns://b:1: resolve: ENOTFOUND', 'dns://b:1: resolve recovered'])
  })

  test('the system’s resolver knows localhost, and says so when there is no such host', async () => {
    const addresses = await systemResolver.addresses('localhost')
    assert.ok(addresses.includes('127.0.0.1') || addresses.includes('::1'), String(addresses))
    await assert.rejects(systemResolver.addresses('no-such-host.invalid'))
  })
})
