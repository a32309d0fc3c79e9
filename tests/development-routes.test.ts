/** vLLM's routes for developers are known in every spelling that reaches them, and nothing else is taken for one. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { isDevelopmentRoute } from '../app/development-routes.ts'

const routes = [
  '/sleep',
  '/wake_up',
  '/is_sleeping',
  '/collective_rpc',
  '/reset_prefix_cache',
  '/reset_mm_cache',
  '/pause',
  '/resume',
  '/server_info',
  '/start_profile',
  '/stop_profile',
  '/update_weights',
  '/init_weight_transfer_engine',
  '/scale_elastic_ep',
  '/v1/load_lora_adapter',
  '/v1/unload_lora_adapter',
]

describe('a development route', () => {
  for (const route of routes) test(route, () => assert.ok(isDevelopmentRoute(route)))

  for (const spelling of [
    '/%73leep',
    '/%73%6C%65%65%70',
    '/%73%6c%65%65%70',
    '//sleep',
    '///sleep',
    '/sleep/',
    '/sleep//',
    '//sleep//',
    '/%2Fsleep',
    '/sleep%2F',
    '/%2fsleep%2f',
    '/Sleep',
    '/SLEEP',
    '/%53leep/',
    '/v1//load_lora_adapter',
    '/v1/load%5Flora_adapter',
    '/v1%2Fload_lora_adapter',
  ]) {
    test(`written as ${spelling}`, () => assert.ok(isDevelopmentRoute(spelling)))
  }

  test('with any of its characters encoded, and slashes repeated', () => {
    const spelled = fc.constantFrom(...routes).chain((route) =>
      fc
        .array(fc.constantFrom('as it is', 'encoded', 'twice'), {
          minLength: route.length,
          maxLength: route.length,
        })
        .map((ways) => [...route].map((char, at) => spell(char, at, ways[at] ?? '')).join('')),
    )
    fc.assert(
      fc.property(spelled, fc.constantFrom('', '/', '//'), (path, end) => isDevelopmentRoute(path + end)),
    )
  })

  function spell(char: string, at: number, way: string): string {
    if (way === 'encoded' && at > 0) return `%${char.charCodeAt(0).toString(16)}`
    return way === 'twice' && char === '/' ? '//' : char
  }
})

describe('no development route is', () => {
  for (const path of [
    '/',
    '//',
    '',
    '/v1/chat/completions',
    '/v1/models',
    '/sleeping',
    '/sleep/now',
    '/v1/sleep',
    '/asleep',
    '/sleep%',
    '/sleep%zz',
    '/%E0%A4%A',
    '/%2573leep',
    '/constructor',
    '/__proto__',
  ]) {
    test(JSON.stringify(path), () => assert.ok(!isDevelopmentRoute(path)))
  }
})
