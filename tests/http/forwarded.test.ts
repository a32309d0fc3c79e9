/** Who the client is, as the proxies in front of the router tell it: whatever the client itself has written. */

import assert from 'node:assert/strict'
import { isIP, isIPv6 } from 'node:net'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { addressIn, forwardedFor, plainAddress, xForwardedFor } from '../../http/forwarded.ts'
import { TrustedProxies } from '../../http/trusted-proxies.ts'

const ranges = ['10.0.0.0/8', '192.168.7.7', '2001:db8::/32']
const proxy = fc.oneof(
  fc.tuple(fc.nat(255), fc.nat(255), fc.nat(255)).map((parts) => `10.${parts.join('.')}`),
  fc.constant('192.168.7.7'),
  fc.nat(0xffff).map((part) => `2001:db8::${part.toString(16)}`),
)
const stranger = fc.oneof(
  fc.tuple(fc.integer({ min: 11, max: 99 }), fc.nat(255)).map(([a, b]) => `${a}.${b}.0.1`),
  fc.nat(0xffff).map((part) => `2400:1::${part.toString(16)}`),
)
/** What a client may put into a header before any proxy sees it. */
const madeUp = fc.oneof(
  fc.string({ unit: 'grapheme-ascii' }),
  fc.string({ unit: fc.constantFrom(...'",;=\\[]:.for 1') }),
  fc.constantFrom('for="', 'for="\\', '10.0.0.1', 'unknown', 'for=1.2.3.4;', '"', ',', ', ,'),
  stranger,
)

function element(address: string): string {
  return `for=${isIPv6(address) ? `"[${address}]"` : address}`
}

function clientOf(header: 'x-forwarded-for' | 'forwarded', peer: string | undefined, value?: string) {
  const field = (name: string) => (name === header ? value : undefined)
  return new TrustedProxies(ranges, header).clientOf({ remoteAddress: peer, header: field })
}

describe('behind proxies that are believed', () => {
  test('the client is who the first of them has seen, whatever it has written itself', () => {
    const chain = fc.tuple(madeUp, stranger, fc.array(proxy, { maxLength: 5 }), proxy)
    fc.assert(
      fc.property(chain, ([written, client, between, peer]) => {
        const value = [written, client, ...between].join(', ')
        assert.equal(clientOf('x-forwarded-for', peer, value), client)
      }),
      { numRuns: 1000 },
    )
  })

  test('and in the way of the RFC, that or nobody: a value that cannot be read is not believed', () => {
    const chain = fc.tuple(madeUp, stranger, fc.array(proxy, { maxLength: 5 }), proxy)
    fc.assert(
      fc.property(chain, ([written, client, between, peer]) => {
        const value = [written, ...[client, ...between].map(element)].join(', ')
        assert.ok([client, peer].includes(clientOf('forwarded', peer, value) ?? ''), value)
      }),
      { numRuns: 3000 },
    )
    fc.assert(
      fc.property(stranger, fc.array(proxy, { maxLength: 5 }), proxy, (client, between, peer) => {
        const value = [client, ...between].map((one) => `proto=https; ${element(one)};by=_x`).join(',')
        assert.equal(clientOf('forwarded', peer, value), client)
      }),
    )
  })

  test('no value breaks anything, and what comes out is an address', () => {
    for (const header of ['x-forwarded-for', 'forwarded'] as const) {
      fc.assert(
        fc.property(fc.oneof(madeUp, fc.string()), proxy, (value, peer) => {
          assert.notEqual(isIP(clientOf(header, peer, value) ?? ''), 0)
        }),
        { numRuns: 2000 },
      )
    }
  })

  test('who says nothing, or not who, is followed no further', () => {
    assert.equal(clientOf('x-forwarded-for', '10.0.0.1'), '10.0.0.1')
    assert.equal(clientOf('x-forwarded-for', '10.0.0.1', ''), '10.0.0.1')
    assert.equal(clientOf('x-forwarded-for', '10.0.0.1', '1.2.3.4, unknown, 10.0.0.2'), '10.0.0.2')
    assert.equal(clientOf('forwarded', '10.0.0.1', 'for=1.2.3.4, for=_hidden, for=10.0.0.2'), '10.0.0.2')
    assert.equal(clientOf('forwarded', '10.0.0.1', 'for=1.2.3.4, proto=https, for=10.0.0.2'), '10.0.0.2')
    assert.equal(clientOf('x-forwarded-for', '10.0.0.1', '10.0.0.3, 10.0.0.2'), '10.0.0.3')
    assert.equal(clientOf('x-forwarded-for', undefined, '1.2.3.4'), undefined)
  })

  test('a chain longer than any is followed for a while only', () => {
    const long = ['1.2.3.4', ...Array(100).fill('10.0.0.9')].join(', ')
    assert.equal(clientOf('x-forwarded-for', '10.0.0.1', long), '10.0.0.9')
  })

  test('and what a client puts before it costs nothing', () => {
    const peer = '10.0.0.1'
    for (const piece of [',', '1.1.1.1,', 'x', ';', 'for=1.1.1.1,', '"', 'for="\\']) {
      const written = piece.repeat(64_000 / piece.length)
      const begin = performance.now()
      for (let time = 0; time < 20; time++) {
        assert.equal(clientOf('x-forwarded-for', peer, `${written}, 1.2.3.4, 10.0.0.2`), '1.2.3.4')
        assert.equal(clientOf('forwarded', peer, `${written}, for=1.2.3.4, for=10.0.0.2`), peer)
      }
      const each = (performance.now() - begin) / 20
      assert.ok(each < 3, `${each} ms for ${JSON.stringify(piece)}`)
    }
  })
})

describe('nobody else is believed', () => {
  test('a peer that is no such proxy is the client', () => {
    fc.assert(
      fc.property(stranger, madeUp, (peer, value) => {
        assert.equal(clientOf('x-forwarded-for', peer, value), peer)
      }),
    )
    const none = new TrustedProxies([], 'x-forwarded-for')
    assert.equal(none.clientOf({ remoteAddress: '10.0.0.1', header: () => '1.2.3.4' }), '10.0.0.1')
    assert.equal(none.sent({ remoteAddress: '10.0.0.1' }), false)
  })

  test('the header that was not named says nothing', () => {
    const proxies = new TrustedProxies(ranges, 'x-forwarded-for')
    const header = (name: string) => (name === 'forwarded' ? 'for=1.2.3.4' : undefined)
    assert.equal(proxies.clientOf({ remoteAddress: '10.0.0.1', header }), '10.0.0.1')
  })
})

describe('an address', () => {
  test('is read in each way that proxies write it', () => {
    for (const [written, address] of [
      ['1.2.3.4', '1.2.3.4'],
      ['1.2.3.4:80', '1.2.3.4'],
      ['2001:DB8::1', '2001:db8::1'],
      ['[2001:db8::1]', '2001:db8::1'],
      ['[2001:db8::1]:65535', '2001:db8::1'],
      ['::ffff:1.2.3.4', '1.2.3.4'],
      ['[1.2.3.4]:80', undefined],
      ['1.2.3', undefined],
      ['1.2.3.4:', undefined],
      ['1.2.3.4:123456', undefined],
      ['localhost', undefined],
      ['_hidden', undefined],
      ['', undefined],
    ] as const) {
      assert.equal(addressIn(written), address, written)
    }
    assert.equal(plainAddress('fe80::1%eth0'), 'fe80::1')
    assert.deepEqual(xForwardedFor('1.2.3.4,x ,::1'), ['1.2.3.4', undefined, '::1'])
    assert.deepEqual(forwardedFor('For="[::1]:4711";proto=http , for=1.2.3.4;;'), ['::1', '1.2.3.4'])
    assert.deepEqual(forwardedFor('for="\\1.2.3.4"'), ['1.2.3.4'])
    assert.deepEqual(forwardedFor('for=1.2.3.4, for="x'), [])
  })

  test('of a proxy counts in its range, mapped into IPv6 too', () => {
    const proxies = new TrustedProxies(ranges, 'x-forwarded-for')
    for (const peer of ['10.255.0.1', '::ffff:10.0.0.1', '192.168.7.7', '2001:db8:ffff::1'])
      assert.ok(proxies.sent({ remoteAddress: peer }), peer)
    for (const peer of ['11.0.0.1', '192.168.7.8', '2001:db9::1', '::ffff:11.0.0.1', 'x', undefined])
      assert.ok(!proxies.sent({ remoteAddress: peer }), peer)
  })

  test('takes no time to read, however odd the value', () => {
    for (const value of [
      ' '.repeat(60_000),
      `for=${'a='.repeat(30_000)}`,
      '"'.repeat(60_000),
      ';'.repeat(60_000),
    ]) {
      const began = performance.now()
      forwardedFor(`${value}x"`)
      xForwardedFor(value)
      assert.ok(performance.now() - began < 1000)
    }
  })
})
