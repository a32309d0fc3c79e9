/** Whose key it is: who is let in as which tenant, who is refused and why, and that the time of it tells nothing. */

import assert from 'node:assert/strict'
import { timingSafeEqual } from 'node:crypto'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { RouterError } from '../../http/errors.ts'
import { hashOfKey, type KeyEntry, KeyRing } from '../../middleware/key-ring.ts'
import { tenantKey } from '../../middleware/tenant-key.ts'
import { errorOf, middlewareApp } from '../support/middleware-app.ts'

const usual = { priority: 'normal', weight: 1, limits: {} } as const
const entry = (name: string, keys: readonly string[], more: Partial<KeyEntry> = {}): KeyEntry => ({
  ...{ name, ...usual, hash: keys.map(hashOfKey) },
  ...more,
})
const noon = Date.parse('2026-06-01T12:00:00Z')
const ring = new KeyRing([
  entry('team-a', ['sk-a', 'sk-a-next']),
  entry('team-b', ['sk-b'], { expires: '2026-06-01T12:00:00.000Z' }),
  entry('by-token', []),
])

/** Answers with the name of the tenant. */
const behind = (options: Partial<Parameters<typeof tenantKey>[0]> = {}) =>
  middlewareApp([tenantKey({ ring, now: () => noon - 1, ...options })], async (c) =>
    c.text(c.get('tenant')?.name ?? 'nobody'),
  )
const bearer = (key: string) => ({ headers: { authorization: `Bearer ${key}` } })

describe('a key of a tenant', () => {
  const { fetch } = behind()
  const who = async (headers: Record<string, string>) => (await fetch('/', { headers })).text()

  test('is taken from Authorization, x-api-key and api-key, and says who asks', async () => {
    assert.equal(await who({ authorization: 'Bearer sk-a' }), 'team-a')
    assert.equal(await who({ authorization: 'bearer  sk-a-next ' }), 'team-a')
    assert.equal(await who({ 'x-api-key': 'sk-b' }), 'team-b')
    assert.equal(await who({ 'api-key': 'sk-b' }), 'team-b')
  })

  test('counts where another field holds something else', async () => {
    assert.equal(await who({ authorization: 'Basic dXNlcjpwYXNz', 'x-api-key': 'sk-b' }), 'team-b')
    assert.equal(await who({ authorization: 'Bearer nobody', 'api-key': 'sk-b' }), 'team-b')
    assert.equal(await who({ authorization: 'Bearer sk-a', 'x-api-key': 'sk-b' }), 'team-a')
  })

  test('lets in nobody without it, and the answer holds no key and no name', async () => {
    const missing = await errorOf(await fetch('/'), 401, 'invalid_api_key')
    assert.match(missing.message, /^This route needs an API key\. Send it as "Authorization: Bearer <key>"/)
    for (const wrong of ['sk-', 'sk-a ', 'SK-A', 'team-a', hashOfKey('sk-a'), hashOfKey('sk-a').slice(7)]) {
      const answer = await fetch('/', { headers: { 'x-api-key': `${wrong}x` } })
      const error = await errorOf(answer, 401, 'invalid_api_key')
      assert.match(error.message, /^The API key presented is not valid here\./)
      assert.doesNotMatch(error.message, /sk-|team|sha256/i)
    }
    await errorOf(
      await fetch('/', { headers: { 'x-api-key': hashOfKey('sk-a').slice(7) } }),
      401,
      'invalid_api_key',
    )
  })

  test('no other string is ever let in', async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: fc.constantFrom(...'sk-ab next') }), async (key) => {
        const known = ['sk-a', 'sk-a-next', 'sk-b'].includes(key.trim())
        assert.equal((await fetch('/', { headers: { 'x-api-key': key } })).status, known ? 200 : 401)
      }),
      { numRuns: 200 },
    )
  })
})

describe('a key that has expired', () => {
  test('is refused from that instant on, and the answer says so', async () => {
    let now = noon - 1
    const told: string[] = []
    const { fetch } = behind({ now: () => now, onExpired: (_, { name }) => told.push(name) })
    assert.equal((await fetch('/', bearer('sk-b'))).status, 200)
    assert.deepEqual(told, [])
    now = noon
    const error = await errorOf(await fetch('/', bearer('sk-b')), 401, 'expired_api_key')
    assert.equal(
      error.message,
      'The API key presented has expired: it was valid until 2026-06-01T12:00:00.000Z.',
    )
    assert.equal(error.type, 'authentication_error')
    assert.deepEqual(told, ['team-b'])
    assert.equal((await fetch('/', bearer('sk-a'))).status, 200)
  })

  test('does not stand in the way of a valid one beside it', async () => {
    const { fetch } = behind({ now: () => noon })
    const headers = { authorization: 'Bearer sk-b', 'x-api-key': 'sk-a' }
    assert.equal(await (await fetch('/', { headers })).text(), 'team-a')
  })
})

describe('keys without a tenant', () => {
  test('go on being taken beside those of tenants', async () => {
    const { fetch } = behind({ keys: ['plain-one', 'plain-two'] })
    assert.equal(await (await fetch('/', bearer('plain-two'))).text(), 'nobody')
    assert.equal(await (await fetch('/', bearer('sk-a'))).text(), 'team-a')
    await errorOf(await fetch('/', bearer('plain')), 401, 'invalid_api_key')
  })
})

describe('what is compared', () => {
  test('is the same for a right key, wherever it stands, and for a wrong one', async () => {
    const many = Array.from({ length: 1000 }, (_, at) => entry(`tenant-${at}`, [`sk-${at}`]))
    const big = new KeyRing(many)
    let looks = 0
    let comparisons = 0
    const counted = {
      takesCertificates: false,
      ofCertificate: () => undefined,
      named: (name: string) => big.named(name),
      holderOf(key: string) {
        looks += 1
        return big.holderOf(key)
      },
    }
    const { fetch } = behind({
      ring: counted,
      keys: ['plain-one', 'plain-two', 'plain-three'],
      isSame(a, b) {
        comparisons += 1
        return timingSafeEqual(a, b)
      },
    })
    const costs: [number, number, number][] = []
    for (const key of [
      'sk-0',
      'sk-500',
      'sk-999',
      'plain-one',
      'plain-three',
      'wrong',
      'sk-',
      'x'.repeat(50),
    ]) {
      looks = 0
      comparisons = 0
      const { status } = await fetch('/', bearer(key))
      costs.push([status, looks, comparisons])
    }
    const right = [200, 1, 3]
    const wrong = [401, 1, 3]
    assert.deepEqual(costs, [...Array(5).fill(right), ...Array(3).fill(wrong)])
  })

  test('is never the key: what the ring keeps is made of hashes alone', () => {
    const kept = new KeyRing([entry('team-a', ['sk-a'])])
    assert.equal(kept.holderOf('sk-a')?.tenant.name, 'team-a')
    assert.equal(kept.holderOf(hashOfKey('sk-a')), undefined)
    assert.deepEqual(kept.names, ['team-a'])
  })
})

describe('a new list of keys', () => {
  test('keeps the objects of tenants that are unchanged, also when their keys change', () => {
    const before = new KeyRing([
      entry('a', ['one']),
      entry('b', ['two'], { weight: 2 }),
      entry('c', ['three']),
    ])
    const next = new KeyRing([entry('a', ['other']), entry('b', ['two'], { weight: 3 })], before)
    assert.equal(next.named('a')?.tenant, before.named('a')?.tenant)
    assert.notEqual(next.named('b')?.tenant, before.named('b')?.tenant)
    assert.equal(next.named('b')?.tenant.weight, 3)
    assert.equal(next.holderOf('one'), undefined)
    assert.equal(next.holderOf('other')?.tenant.name, 'a')
    assert.equal(next.holderOf('three'), undefined)
    assert.equal(next.named('c'), undefined)
  })
})

describe('a token', () => {
  const verified: string[] = []
  const tokens = {
    async verify(token: string): Promise<string> {
      verified.push(token)
      if (token === 'eyJ.bad') throw new RouterError('invalid_api_key', 'bad')
      return token.slice(4)
    },
  }
  const { fetch } = behind({ tokens, now: () => noon })

  test('lets in the tenant that it names', async () => {
    assert.equal(await (await fetch('/', bearer('eyJ.by-token'))).text(), 'by-token')
    assert.equal(await (await fetch('/', bearer('eyJ.team-a'))).text(), 'team-a')
  })

  test('that names nobody is refused, and so is one whose tenant has expired', async () => {
    const error = await errorOf(await fetch('/', bearer('eyJ.stranger')), 403, 'forbidden')
    assert.doesNotMatch(error.message, /stranger/)
    await errorOf(await fetch('/', bearer('eyJ.team-b')), 401, 'expired_api_key')
    await errorOf(await fetch('/', bearer('eyJ.bad')), 401, 'invalid_api_key')
  })

  test('is asked for where nothing else is known, and only as Authorization', async () => {
    verified.length = 0
    await errorOf(await fetch('/', { headers: { 'x-api-key': 'eyJ.by-token' } }), 401, 'invalid_api_key')
    await errorOf(await fetch('/', bearer('sk-wrong')), 401, 'invalid_api_key')
    assert.equal((await fetch('/', bearer('sk-a'))).status, 200)
    assert.deepEqual(verified, [])
    const none = behind()
    await errorOf(await none.fetch('/', bearer('eyJ.by-token')), 401, 'invalid_api_key')
  })
})

describe('a client certificate', () => {
  const certified = new KeyRing([
    entry('team-a', ['sk-a'], { certificate: ['cn:team-a', 'uri:spiffe://cluster/a'] }),
    entry('team-b', ['sk-b'], { certificate: ['dns:b.example.com'], expires: '2026-06-01T12:00:00.000Z' }),
    entry('team-c', ['sk-c']),
  ])
  const none = { commonName: undefined, dnsNames: [], uris: [] }
  const options = { ring: certified, keys: ['plain-one'], now: () => noon - 1 }
  const ask = (certificate: object, headers: Record<string, string> = {}, more = {}) =>
    behind({ ...options, ...more }).fetch(
      '/',
      { headers },
      { clientCertificate: { ...none, ...certificate } },
    )
  const who = async (...given: Parameters<typeof ask>) => (await ask(...given)).text()

  test('stands for the tenant that it names, by whichever of its names', async () => {
    assert.equal(await who({ commonName: 'team-a' }), 'team-a')
    assert.equal(await who({ uris: ['spiffe://cluster/x', 'spiffe://cluster/a'] }), 'team-a')
    assert.equal(await who({ commonName: 'team-a', uris: ['spiffe://cluster/a'] }), 'team-a')
    assert.equal(await who({ dnsNames: ['B.Example.com'] }), 'team-b')
  })

  test('stands for nobody by a name of another kind, by a part of one, or by the name of a tenant', async () => {
    for (const certificate of [
      { commonName: 'b.example.com' },
      { dnsNames: ['team-a', 'x.b.example.com', '*.example.com'] },
      { uris: ['spiffe://cluster/a/b', 'spiffe://cluster/A', 'cn:team-a'] },
      { commonName: 'team-c' },
      { commonName: 'Team-A' },
      {},
    ]) {
      const error = await errorOf(await ask(certificate), 401, 'invalid_api_key')
      assert.match(
        error.message,
        /^This route needs an API key\. .* The client certificate shown names no tenant\.$/,
      )
    }
  })

  test('that names two tenants stands for neither', async () => {
    const both = { commonName: 'team-a', dnsNames: ['b.example.com'] }
    assert.match((await errorOf(await ask(both), 401, 'invalid_api_key')).message, /names several tenants\.$/)
    assert.equal(await who(both, { 'x-api-key': 'sk-c' }), 'team-c')
  })

  test('gives way to a valid key, and is not hindered by anything else', async () => {
    const a = { commonName: 'team-a' }
    assert.equal(await who(a, { authorization: 'Bearer sk-c' }), 'team-c')
    assert.equal(await who(a, { 'api-key': 'plain-one' }), 'nobody')
    assert.equal(await who(a, { authorization: 'Bearer EMPTY' }), 'team-a')
    assert.equal(await who(a, { authorization: 'Bearer sk-b' }, { now: () => noon }), 'team-a')
  })

  test('ends with its entry', async () => {
    const b = { dnsNames: ['b.example.com'] }
    const error = await errorOf(await ask(b, {}, { now: () => noon }), 401, 'expired_api_key')
    assert.match(
      error.message,
      /^The client certificate presented has expired: it was valid until 2026-06-01T12/,
    )
  })

  test('gives way to a valid token, helps with one that is not, and not while that cannot be told', async () => {
    const a = { commonName: 'team-a' }
    const tokens = {
      async verify(token: string): Promise<string> {
        if (token === 'eyJ.bad') throw new RouterError('invalid_api_key', 'bad')
        if (token === 'eyJ.away') throw new RouterError('jwks_unreachable', 'away')
        return token.slice(4)
      },
    }
    const by = (token: string) => ask(a, { authorization: `Bearer ${token}` }, { tokens })
    assert.equal(await (await by('eyJ.team-c')).text(), 'team-c')
    for (const token of ['eyJ.bad', 'eyJ.stranger']) assert.equal(await (await by(token)).text(), 'team-a')
    await errorOf(await by('eyJ.away'), 503, 'jwks_unreachable')
  })
})
