import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { stripVTControlCharacters } from 'node:util'
import { type BannerOptions, type BannerWorker, banner } from '../../../app/cli/banner.ts'

const worker = (number: number, more: Partial<BannerWorker> = {}): BannerWorker => ({
  id: `w${number}`,
  url: `http://127.0.0.1:${9000 + number}`,
  state: 'healthy',
  models: ['org/model-a'],
  ...more,
})

const options: BannerOptions = {
  version: '1.2.3',
  runtime: 'Bun 1.4.5',
  urls: { api: 'http://127.0.0.1:8080', operations: 'http://127.0.0.1:29000' },
  workers: [worker(1), worker(2, { state: 'starting', models: [] })],
  policy: 'round_robin',
  demo: false,
}

describe('the banner', () => {
  test('says where it listens and what it routes to', () => {
    const text = banner(options)
    for (const part of [
      '1.2.3 on Bun 1.4.5',
      'http://127.0.0.1:8080',
      'http://127.0.0.1:29000',
      'round_robin',
    ])
      assert.ok(text.includes(part), part)
    assert.match(text, /Workers +2 \(1 healthy, 1 starting\)/)
    assert.match(text, /^ {4}w1 {2}http:\/\/127\.0\.0\.1:9001 {2}healthy {3}org\/model-a$/m)
    assert.match(text, /^ {4}w2 {2}http:\/\/127\.0\.0\.1:9002 {2}starting {2}-$/m)
    assert.ok(!text.includes('SIMULATED'))
    assert.ok(text.endsWith('\n'))
  })

  test('has a request to paste, for the first known model', () => {
    const text = banner({ ...options, workers: [worker(1, { models: [] }), worker(2)] })
    assert.match(text, /curl -s http:\/\/127\.0\.0\.1:8080\/v1\/completions .* \\\n +-d '(.*)'\n$/)
    const body = /-d '(.*)'/.exec(text)?.[1] ?? ''
    assert.deepEqual(JSON.parse(body), { model: 'org/model-a', prompt: 'Test', max_tokens: 10 })
    assert.match(banner({ ...options, workers: [] }), /Workers +none yet[\s\S]*"facebook\/opt-350m"/)
    assert.match(banner({ ...options, keyRequired: true }), /-H "Authorization: Bearer \$KEY"/)
  })

  test('the pasted request goes to an address that can be connected to', () => {
    for (const [api, target] of [
      ['http://0.0.0.0:8080', 'http://127.0.0.1:8080/v1'],
      ['http://[::]:8080', 'http://[::1]:8080/v1'],
      ['http://gw:1/', 'http://gw:1/v1'],
    ] as const)
      assert.ok(banner({ ...options, urls: { ...options.urls, api } }).includes(`curl -s ${target}`), api)
  })

  test('says SIMULATED in demo mode', () => {
    assert.match(banner({ ...options, demo: true }), /^SIMULATED: /m)
  })

  test('summarizes more than ten workers', () => {
    const workers = Array.from({ length: 25 }, (_, at) =>
      worker(at, { state: at < 20 ? 'healthy' : 'starting' }),
    )
    const text = banner({ ...options, workers })
    assert.match(text, /Workers +25 \(20 healthy, 5 starting\)/)
    assert.match(text, /and 15 more: 10 healthy, 5 starting/)
    assert.equal(text.match(/http:\/\/127\.0\.0\.1:90\d\d /g)?.length, 10)
  })

  test('has colours only when asked', () => {
    assert.ok(!banner(options).includes('\u001b'))
    const coloured = banner({ ...options, colour: true, demo: true })
    assert.equal(stripVTControlCharacters(coloured), banner({ ...options, demo: true }))
  })

  test('lets no control character of a name reach the terminal, and no quote end the shell text', () => {
    const text = banner({ ...options, workers: [worker(1, { models: ["a\u001b[2J'$(x)"], state: 'ok\n' })] })
    assert.ok(!text.includes('\u001b'))
    assert.ok(text.includes(`'\\''`))
  })
})
