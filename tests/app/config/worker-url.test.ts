import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { parseWorkerUrl } from '../../../app/config/kinds/worker-url.ts'
import { parseAllowPattern, workerUrlAllowed } from '../../../app/config/kinds/worker-url-allow.ts'
import { resolveOptions } from '../../../app/config/resolve-options.ts'

describe('the address of a worker', () => {
  test('keeps its path prefix and written port, loses its trailing slash', () => {
    const forms: [string, string][] = [
      ['http://gpu1:8000', 'http://gpu1:8000'],
      [' HTTPS://GPU1.Example.com:443/ ', 'https://gpu1.example.com:443'],
      ['http://gpu1:80/v/1//', 'http://gpu1:80/v/1'],
      ['http://[::1]:8000/', 'http://[::1]:8000'],
      ['http://gpu1', 'http://gpu1'],
      ['http://0x7f.1:8000', 'http://127.0.0.1:8000'],
    ]
    for (const [written, url] of forms) assert.deepEqual(parseWorkerUrl(written), { value: url })
  })

  test('with a slip gets a suggestion', () => {
    const slips: [string, RegExp][] = [
      ['gpu1:8000', /did you mean "http:\/\/gpu1:8000"\?/],
      ['localhost', /"http:\/\/localhost"/],
      ['10.0.0.1:8000/x', /"http:\/\/10\.0\.0\.1:8000\/x"/],
      ['htp://gpu1:8000', /"http:\/\/gpu1:8000"/],
      ['htttps://gpu1', /"https:\/\/gpu1"/],
      ['http:/gpu1:8000', /"http:\/\/gpu1:8000"/],
      ['http//gpu1:8000', /"http:\/\/gpu1:8000"/],
      ['//gpu1:8000', /"http:\/\/gpu1:8000"/],
      ['grpc://gpu1:8000', /gRPC workers are not supported yet/],
      ['http://gpu1:99999', /its port is above 65535/],
      ['http://gpu1:0', /port 0/],
      ['http://u:p@gpu1', /--api-key/],
      ['http://@gpu1', /--api-key/],
      ['http://gpu1/?a=1', /leave out what follows the path: "http:\/\/gpu1\/"/],
      ['http://gpu1#x', /leave out/],
      ['http://gpu1\\x:80', /backslash/],
      ['http://a,http://b', /no host name/],
    ]
    for (const [written, hint] of slips) {
      const result = parseWorkerUrl(written)
      assert.ok('hint' in result, written)
      assert.match(String(result.hint), hint, written)
    }
    assert.deepEqual(parseWorkerUrl('http://gpu1:8000/v1/'), { hint: 'did you mean "http://gpu1:8000"?' })
    assert.deepEqual(parseWorkerUrl('http://gpu1/vllm/v1'), { hint: 'did you mean "http://gpu1/vllm"?' })
    assert.ok('hint' in parseWorkerUrl('ftp://gpu1'))
    assert.ok('hint' in parseWorkerUrl('http://'))
  })

  test('is stable, and safe to connect to, whatever is written', () => {
    const parts = fc.constantFrom(
      'http',
      'https',
      '://',
      ':',
      '/',
      '//',
      '@',
      '?',
      '#',
      'a',
      '1',
      '80',
      '.',
      '[::1]',
      '\\',
      ' ',
      '%',
    )
    fc.assert(
      fc.property(
        fc.oneof(
          fc.array(parts).map((all) => all.join('')),
          fc.webUrl(),
        ),
        (written) => {
          const result = parseWorkerUrl(written)
          if (!('value' in result)) return
          assert.deepEqual(parseWorkerUrl(result.value), result)
          const url = new URL(result.value)
          assert.match(url.protocol, /^https?:$/)
          assert.equal(url.username + url.password + url.search + url.hash, '')
          assert.equal(url.href.replace(/\/$/, ''), new URL(written.trim()).href.replace(/\/+$/, ''))
        },
      ),
      { numRuns: 2000 },
    )
  })
})

describe('--worker-url-allow', () => {
  const allowed = (url: string, ...patterns: string[]) =>
    workerUrlAllowed(url, resolveOptions({ workerUrlAllow: patterns }).workerUrlAllow)

  test('unset allows every host', () => assert.equal(workerUrlAllowed('http://anything', []), true))

  test('matches hosts, with and without a port', () => {
    assert.equal(allowed('http://gpu1:8000', 'gpu1'), true)
    assert.equal(allowed('http://GPU1.:8000', 'gpu1'), true)
    assert.equal(allowed('http://gpu1:8000', 'GPU1:8000'), true)
    assert.equal(allowed('http://gpu1:8001', 'gpu1:8000'), false)
    assert.equal(allowed('https://gpu1', 'gpu1:443'), true)
    assert.equal(allowed('http://gpu11', 'gpu1'), false)
    assert.equal(allowed('http://[0:0::1]:80', '[::1]'), true)
    assert.equal(allowed('http://[::1]:81', '[::1]:80'), false)
  })

  test('matches suffixes at a dot only', () => {
    assert.equal(allowed('http://a.gpu.internal', '*.gpu.internal'), true)
    assert.equal(allowed('http://a.b.gpu.internal:1', '*.gpu.internal:1'), true)
    assert.equal(allowed('http://evilgpu.internal', '*.gpu.internal'), false)
    assert.equal(allowed('http://gpu.internal', '*.gpu.internal'), false)
    assert.equal(allowed('http://gpu.internal.evil.com', '*.gpu.internal'), false)
  })

  test('matches IPv4 ranges by what the address connects to', () => {
    assert.equal(allowed('http://10.255.0.1:8000', '10.0.0.0/8'), true)
    assert.equal(allowed('http://11.0.0.1', '10.0.0.0/8'), false)
    assert.equal(allowed('http://0x0a.1', '10.0.0.0/8'), true)
    assert.equal(allowed('http://192.168.1.77', '192.168.1.64/26'), true)
    assert.equal(allowed('http://192.168.1.128', '192.168.1.64/26'), false)
    assert.equal(allowed('http://255.255.255.255', '0.0.0.0/0'), true)
    assert.equal(allowed('http://10.evil.com', '10.0.0.0/8'), false)
    assert.equal(allowed('http://10.0.0.7', '10.0.0.7/32'), true)
    assert.equal(allowed('no url', '0.0.0.0/0'), false)
  })

  test('refuses patterns that mean nothing or everything', () => {
    for (const pattern of [
      '*',
      'http://gpu1',
      '10.0.0.0/33',
      '999.0.0.1',
      '10.0.0',
      'a*b',
      'gpu1:0',
      '::1',
      '[::1',
      'x/8',
      'gpu1:',
      '',
    ])
      assert.ok('hint' in parseAllowPattern(pattern), pattern)
  })
})
