/** What a worker gets to know of the client: addresses, scheme and host, from the peer's own words or from ours. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Forwarding } from '../../../app/relay/forwarding.ts'
import { requestHeaders } from '../../../app/relay/headers.ts'
import type { HeaderFields } from '../../../app/upstream/http-client.ts'

const own = new Set(['x-request-id', 'accept-encoding'])

/** The fields that reach the worker, less those that every request has. */
function forwarded(headers: HeaderFields, forwarding: Partial<Forwarding> | undefined): HeaderFields {
  const sent = requestHeaders(headers, {
    ...{ requestId: 'id', workerKey: undefined, dropClientKey: false, bodyDecoded: false },
    forwarding: forwarding && { peer: '10.0.0.1', secure: false, trusted: false, ...forwarding },
  })
  return sent.filter(([name]) => !own.has(name))
}

const told: HeaderFields = [
  ['X-Forwarded-For', '1.1.1.1'],
  ['X-Forwarded-Proto', 'https'],
  ['X-Forwarded-Host', 'api.example'],
  ['X-Forwarded-Port', '443'],
  ['X-Real-IP', '1.1.1.1'],
  ['Forwarded', 'for=1.1.1.1'],
  ['X-Forward', 'is another field'],
]
const stays = ['X-Forward', 'is another field'] as const

describe('what a peer says of its client', () => {
  test('is not passed on where the peer is not believed', () => {
    assert.deepEqual(forwarded(told, {}), [
      stays,
      ['x-forwarded-for', '10.0.0.1'],
      ['x-forwarded-proto', 'http'],
    ])
  })

  test('is passed on where it is, with the peer’s own address behind the others', () => {
    assert.deepEqual(forwarded(told, { trusted: true }), [
      ...told.filter(([name]) => name !== 'X-Forwarded-For' && name !== 'Forwarded'),
      ['x-forwarded-for', '1.1.1.1, 10.0.0.1'],
      ['forwarded', 'for=1.1.1.1, for=10.0.0.1'],
    ])
  })

  test('has its address in brackets and quotes where that is one of IPv6', () => {
    const sent = forwarded([['forwarded', 'for=a']], { trusted: true, peer: '::1' })
    assert.deepEqual(sent, [
      ['x-forwarded-for', '::1'],
      ['x-forwarded-proto', 'http'],
      ['forwarded', 'for=a, for="[::1]"'],
    ])
  })

  test('passes untouched where there is no connection to tell of', () => {
    assert.deepEqual(forwarded(told, undefined), told)
  })
})

test('a trusted peer that says nothing is the client: its address, its scheme and its host', () => {
  for (const trusted of [true, false]) {
    assert.deepEqual(forwarded([['Host', 'router:8080']], { trusted, secure: true }), [
      ['x-forwarded-for', '10.0.0.1'],
      ['x-forwarded-proto', 'https'],
      ['x-forwarded-host', 'router:8080'],
    ])
  }
})

test('the host that a trusted peer tells wins over its own', () => {
  const headers: HeaderFields = [
    ['host', 'router:8080'],
    ['x-forwarded-host', 'api.example'],
  ]
  const hosts = (trusted: boolean) =>
    forwarded(headers, { trusted }).filter(([name]) => name === 'x-forwarded-host')
  assert.deepEqual(hosts(true), [['x-forwarded-host', 'api.example']])
  assert.deepEqual(hosts(false), [['x-forwarded-host', 'router:8080']])
})
