/** vLLM's routes for developers are known in every spelling that reaches them, and nothing else is taken for one. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { developmentKind } from '../../../app/api/development-routes.ts'

const isDevelopmentRoute = (path: string): boolean => developmentKind(path) !== undefined

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
  '/abort_requests',
  '/inference/v1/abort_requests',
  '/release_kv_cache_memory',
  '/start_weight_update',
  '/start_draft_weight_update',
  '/finish_weight_update',
  '/update_weight_version',
  '/weight_info',
  '/weight_checker',
  '/shutdown_weight_transfer_engine',
  '/reset_encoder_cache',
  '/is_scaling_elastic_ep',
  '/get_world_size',
  '/kv_event_sources',
  '/fault_tolerance/apply',
  '/fault_tolerance/status',
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
    // A server with a root path has them under that as well.
    '/api/sleep',
    '/v1/sleep',
    '/some/root/path/update_weights/',
    // Of a version to come, or of another server.
    '/reset_kv_cache',
    '/stop_torch_profile',
    '/update_weights_from_disk',
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

test('those that only tell are told from those that change the worker', () => {
  for (const path of ['/server_info', '/is_sleeping', '/weight_info', '/fault_tolerance/status'])
    assert.equal(developmentKind(path), 'telling', path)
  for (const path of ['/sleep', '/update_weights', '/weight_checker', '/fault_tolerance/apply'])
    assert.equal(developmentKind(path), 'changing', path)
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
    '/asleep',
    '/v1/models/org/pause',
    '/v1/responses/resp_1/cancel',
    '/inference/v1/generate',
    '/tokenizer_info',
    '/load',
    '/version',
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
