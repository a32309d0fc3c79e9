import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { loadConfig } from '../../../app/config/load-config.ts'
import { ConfigError, formatProblems } from '../../../app/config/problem.ts'
import { resolveOptions } from '../../../app/config/resolve-options.ts'
import type { ConfigInput } from '../../../app/config/settings.ts'

function faultOf(options: ConfigInput): string {
  try {
    resolveOptions(options)
  } catch (error) {
    assert.ok(error instanceof ConfigError)
    assert.equal(error.faults.length, 1, error.message)
    return error.message.split('\n')[1] ?? ''
  }
  return ''
}

describe('settings that do not go together', () => {
  test('a first backoff above the longest one', () => {
    const fault = faultOf({ retryInitialBackoffMs: 100, retryMaxBackoffMs: 99 })
    assert.match(fault, /100 ms is more than --retry-max-backoff-ms \(99 ms\)/)
    assert.equal(faultOf({ retryInitialBackoffMs: 99, retryMaxBackoffMs: 99 }), '')
  })

  test('slots for the high class that are no part of a cap, or all of it', async () => {
    assert.match(faultOf({ slotsForHighPriority: 1 }), /1: it needs --max-concurrent-requests/)
    const cap = { maxConcurrentRequests: 4 }
    assert.match(
      faultOf({ ...cap, slotsForHighPriority: 4 }),
      /4 is not less than --max-concurrent-requests \(4\)/,
    )
    assert.equal(faultOf({ ...cap, slotsForHighPriority: 3 }), '')
    const argv = ['--max-concurrent-requests', '4']
    const given = { argv, env: { VLLM_ROUTER_SLOTS_FOR_HIGH_PRIORITY: '4' } }
    const result = await loadConfig(given)
    assert.match(
      result.ok ? '' : formatProblems(result.faults),
      /\(environment .*_HIGH_PRIORITY and flag .*\): 4 is not less/,
    )
  })

  test('the origin is that of the values that were given, not the default', async () => {
    const given = { argv: ['--retry-max-backoff-ms', '10'], env: { VLLM_ROUTER_PORT: '29000' } }
    const result = await loadConfig(given)
    const text = result.ok ? '' : formatProblems(result.faults)
    assert.match(text, /\(flag --retry-max-backoff-ms\): 50 ms is more/)
    assert.match(text, /\(environment VLLM_ROUTER_PORT\): 29000 is the port of the API too/)
  })

  test('both listeners on one port of one host', () => {
    const refused: ConfigInput[] = [
      { port: 9000, prometheusPort: 9000 },
      { port: 9000, prometheusPort: 9000, host: '0.0.0.0' },
      { port: 9000, prometheusPort: 9000, host: 'localhost' },
      { port: 9000, prometheusPort: 9000, host: '10.0.0.1', prometheusHost: '10.0.0.1' },
    ]
    for (const options of refused) assert.match(faultOf(options), /9000 is the port of the API too/)
    assert.equal(faultOf({ port: 0, prometheusPort: 0 }), '')
    assert.equal(
      faultOf({ port: 9000, prometheusPort: 9000, host: '10.0.0.1', prometheusHost: '10.0.0.2' }),
      '',
    )
  })

  test('simulated workers together with real ones', () => {
    assert.match(faultOf({ demo: 7, workerUrls: ['http://a:1'] }), /cannot be combined with --worker-urls/)
  })

  test('the same worker twice, in whatever spelling', () => {
    assert.match(
      faultOf({ workerUrls: ['http://a:8000', 'HTTP://A:8000/'] }),
      /"http:\/\/a:8000" is given twice/,
    )
    assert.match(faultOf({ workerUrls: ['http://a', 'http://a:80'] }), /given twice/)
    assert.equal(faultOf({ workerUrls: ['http://a:8000', 'http://a:8001', 'http://a:8000/x'] }), '')
  })

  test('a worker that is the router itself', () => {
    assert.match(
      faultOf({ workerUrls: ['http://localhost:8080'] }),
      /is this router itself; give .* another --port/,
    )
    assert.match(faultOf({ workerUrls: ['http://127.0.0.1:29000'] }), /another --prometheus-port/)
    assert.match(faultOf({ host: '0.0.0.0', port: 80, workerUrls: ['http://[::1]'] }), /this router itself/)
    assert.match(faultOf({ host: 'gw', port: 443, workerUrls: ['https://gw/x'] }), /this router itself/)
    assert.equal(faultOf({ workerUrls: ['http://gpu1:8080'] }), '')
    assert.equal(faultOf({ port: 8081, workerUrls: ['http://localhost:8080'] }), '')
    assert.equal(faultOf({ host: '10.0.0.1', workerUrls: ['http://localhost:8080'] }), '')
  })

  test('a grace time that ends before the settle time', () => {
    assert.match(faultOf({ shutdownGraceSecs: 4 }), /4 s is less than --shutdown-settle-secs \(5 s\)/)
    assert.equal(faultOf({ shutdownGraceSecs: 0, shutdownSettleSecs: 0 }), '')
  })

  test('an admin key that clients have too', () => {
    const fault = faultOf({ adminApiKey: 'sk-both', routerApiKeys: ['sk-one', 'sk-both'] })
    assert.match(fault, /also one of --router-api-keys/)
    assert.ok(!fault.includes('sk-both'))
  })

  test('a rule is silent while one of its settings is wrong by itself', () => {
    assert.match(faultOf({ retryInitialBackoffMs: 'x', retryMaxBackoffMs: 1 }), /got "x"/)
  })

  test('a queue without a cap is fine', () => {
    assert.equal(faultOf({ queueSize: 5 }), '')
  })
})

describe('code in the configuration', () => {
  const pick = () => ({ select: <C>(candidates: readonly C[]) => candidates[0] as C })

  test('a policy of the user is a name for --policy', () => {
    const config = resolveOptions({ policy: 'first', selectionPolicies: { first: pick } })
    assert.equal(config.selectionPolicies.first, pick)
    assert.match(
      faultOf({ policy: 'fist', selectionPolicies: { first: pick } }),
      /round_robin, .*first; did you mean "first"/,
    )
  })

  test('it may take the name of a built-in one', () => {
    assert.equal(faultOf({ policy: 'cache_aware', selectionPolicies: { cache_aware: pick } }), '')
  })

  test('middleware is a function or has a place', () => {
    const middleware = async () => {}
    const both = [middleware, { position: 'before', middleware }] as const
    assert.deepEqual(resolveOptions({ middleware: both }).middleware, both)
    const wrong = { middleware: [{ position: 'middle', middleware }] } as unknown as ConfigInput
    assert.match(faultOf(wrong), /middleware \(option middleware\): got .*; allowed: a list of functions/)
    assert.match(
      faultOf({ selectionPolicies: { a: 1 } } as unknown as ConfigInput),
      /allowed: an object of functions/,
    )
  })
})
