/** Every change that an operator makes, or tries, leaves one line: what, by whom, from where, before and after. */

import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import type { ConfigInput } from '../../app/config/settings.ts'
import { eventually } from '../support/deadline.ts'
import { type LoggedLine, logLines } from '../support/log-lines.ts'
import { type RawRequestOptions, rawRequest } from '../support/raw-client.ts'
import { type LogLine, startRouter } from '../support/router-process.ts'
import type { Scope } from '../support/scope.ts'
import { startScriptedWorker } from '../support/scripted-worker.ts'
import { testGateway } from '../support/test-gateway.ts'

const timeout = 30_000
const key = { authorization: 'Bearer boss-key' }

async function auditedRouter(t: Scope, options: ConfigInput = {}, level = 'info') {
  const worker = await startScriptedWorker(undefined, { t })
  const spare = await startScriptedWorker(undefined, { t })
  const { log, said } = logLines(level)
  const given = { port: 0, prometheusPort: 0, workerUrls: [worker.url], logLevel: level, ...options }
  const gateway = await testGateway(given, { log })
  t.after(() => gateway.close())
  const { api, operations } = await gateway.start()
  const ports = { api: Number(new URL(api).port), operations: Number(new URL(operations).port) }
  const ask = async (
    listener: 'api' | 'operations',
    method: string,
    path: string,
    more: RawRequestOptions = {},
  ) => (await rawRequest({ port: ports[listener], method, path, ...more }).text()).status
  return { gateway, worker, spare, ask, lines: () => said('audit') }
}

/** What is the same in every run. */
function told(line: LoggedLine | LogLine | undefined): object {
  const { action, worker, before, after, who, client, listener, status, error } = line ?? {}
  const draining = (side: unknown) => (side as { draining?: boolean } | null | undefined)?.draining
  return {
    action,
    worker,
    before: before === null ? null : draining(before),
    after: after === null ? null : draining(after),
    ...{ who, client, listener, status, error },
  }
}

describe('the audit', () => {
  test('has each change of a worker, with what was before and after', { timeout }, async (t) => {
    const { worker, spare, ask, lines } = await auditedRouter(t)
    const one = `/workers/${encodeURIComponent(worker.url)}`
    const [url, other] = [worker.url, spare.url]
    const local = { who: 'no key', client: '127.0.0.1', listener: 'operations', error: undefined }
    for (const [method, path, json, expected] of [
      [
        'PATCH',
        one,
        { draining: true },
        { action: 'drain worker', worker: url, before: false, after: true, status: 200 },
      ],
      [
        'PATCH',
        one,
        { draining: false },
        { action: 'undrain worker', worker: url, before: true, after: false, status: 200 },
      ],
      [
        'POST',
        '/workers',
        { url: other },
        { action: 'add worker', worker: other, before: null, after: false, status: 201 },
      ],
      [
        'DELETE',
        `/workers/${encodeURIComponent(other)}`,
        undefined,
        { action: 'remove worker', worker: other, before: false, after: null, status: 204 },
      ],
      [
        'POST',
        `/add_worker?url=${other}`,
        undefined,
        { action: 'add worker', worker: other, before: null, after: false, status: 200 },
      ],
      [
        'POST',
        `/remove_worker?url=${other}`,
        undefined,
        { action: 'remove worker', worker: other, before: false, after: null, status: 200 },
      ],
    ] as const) {
      const before = lines().length
      await ask('operations', method, path, json === undefined ? {} : { json })
      assert.equal(lines().length, before + 1, `${method} ${path}`)
      assert.deepEqual(told(lines().at(-1)), { ...expected, ...local })
    }
  })

  test('has what was tried and failed, and nothing of who only looks', { timeout }, async (t) => {
    const { ask, lines } = await auditedRouter(t)
    for (const path of ['/workers', '/config', '/metrics', '/debug/requests'])
      await ask('operations', 'GET', path)
    await ask('operations', 'POST', '/debug/route', { json: { body: { model: 'test-model', prompt: 'x' } } })
    assert.deepEqual(lines(), [])
    await ask('operations', 'DELETE', '/workers/nobody')
    const { action, status, error } = lines()[0] ?? {}
    assert.deepEqual([action, status, error], ['DELETE /workers/nobody', 404, 'not_found'])
  })

  test('has who was refused, on both listeners, and never a key', { timeout }, async (t) => {
    const { ask, lines } = await auditedRouter(t, { adminApiKey: 'boss-key' })
    const wrong = { headers: { authorization: 'Bearer guessed-key' } }
    for (const listener of ['api', 'operations'] as const) {
      for (const [method, path] of [
        ['GET', '/config'],
        ['POST', '/reload'],
        ['DELETE', '/workers/x'],
      ] as const) {
        assert.equal(await ask(listener, method, path, wrong), 401)
        const { action, who, client, status, error, ...rest } = lines().at(-1) ?? {}
        assert.deepEqual(
          { action, who, client, listener: rest.listener, status, error },
          {
            ...{ action: `${method} ${path}`, who: 'nobody known', client: '127.0.0.1', listener },
            ...{ status: 401, error: 'invalid_api_key' },
          },
        )
      }
    }
    assert.equal(await ask('api', 'POST', '/sleep', wrong), 401)
    assert.equal(lines().at(-1)?.action, 'POST /sleep')
    assert.equal(await ask('api', 'POST', '/sleep', { headers: key }), 200)
    assert.deepEqual([lines().at(-1)?.who, lines().at(-1)?.status], ['admin key', 200])
    assert.equal(lines().length, 8)
    assert.doesNotMatch(JSON.stringify(lines()), /guessed|boss/)
  })

  test('names the client that a proxy vouches for, and the proxy', { timeout }, async (t) => {
    const { ask, lines } = await auditedRouter(t, { adminApiKey: 'boss-key', trustedProxies: ['127.0.0.1'] })
    await ask('operations', 'DELETE', '/workers/x', { headers: { ...key, 'x-forwarded-for': '203.0.113.9' } })
    assert.deepEqual([lines()[0]?.client, lines()[0]?.peer], ['203.0.113.9', '127.0.0.1'])
  })

  test('tells an operator who may not do this from who is no operator', { timeout }, async (t) => {
    const { ask, lines } = await auditedRouter(t, { adminApiKey: 'boss-key', workerUrlAllow: ['10.0.0.0/8'] })
    const json = { url: 'http://192.0.2.1:8000' }
    await ask('operations', 'POST', '/workers', { headers: key, json })
    await ask('operations', 'POST', '/workers', { headers: { ...key, origin: 'http://evil.example' }, json })
    assert.deepEqual(
      lines().map(({ who, status }) => [who, status]),
      [
        ['admin key', 403],
        ['nobody known', 403],
      ],
    )
  })

  test('is written at every level of the log, except where there is no log', { timeout }, async (t) => {
    for (const [level, count] of [
      ['error', 1],
      ['silent', 0],
    ] as const) {
      const { ask, lines } = await auditedRouter(t, {}, level)
      await ask('operations', 'DELETE', '/workers/x')
      assert.equal(lines().length, count, level)
    }
  })

  test('is not filled by who tries keys in a loop; how many were left out is told', {
    timeout,
  }, async (t) => {
    const { ask, lines } = await auditedRouter(t, { adminApiKey: 'boss-key' })
    const tries = 100
    for (let one = 0; one < tries; one++) await ask('operations', 'POST', '/reload')
    const written = lines().length
    assert.ok(written < tries, `${written} lines`)
    const missing = () => lines().reduce((sum, line) => sum + Number(line.refusals_not_written ?? 0), 0)
    await eventually(
      async () => {
        await ask('operations', 'POST', '/reload')
        return missing() >= tries - written
      },
      { what: 'the number of those', everyMs: 200 },
    )
  })
})

describe('the audit of a program', () => {
  for (const processes of ['1', '2']) {
    test(`of ${processes} has a reload once, whoever asks for it, with the values`, {
      timeout,
    }, async (t) => {
      const home = await mkdtemp(join(tmpdir(), 'vllm-router-audit-'))
      t.after(() => rm(home, { recursive: true, force: true }))
      const config = join(home, 'router.yaml')
      const write = (size: number, more = '') => writeFile(config, `max-payload-size: ${size}\n${more}`)
      await write(1000)
      const args = ['--config', config, '--processes', processes, '--admin-api-key', 'boss-key']
      const router = await startRouter({ args, t })
      const audits = () => router.logs().filter(({ msg }) => msg === 'audit')
      const reloads = () =>
        audits().map(({ who, before, after, problems }) => ({ who, before, after, problems }))

      await write(2000)
      const port = router.operationsPort
      await rawRequest({ port, method: 'POST', path: '/reload', headers: key }).text()
      const flag = '--max-payload-size'
      await eventually(() => reloads().length === 1, { what: 'the first' })
      assert.deepEqual(reloads(), [
        { who: 'admin key', before: { [flag]: '1000' }, after: { [flag]: '2000' }, problems: undefined },
      ])
      await write(3000, 'admin-api-key: other-key\n')
      router.signal('SIGHUP')
      await eventually(() => reloads().length === 2, { what: 'the second' })
      assert.deepEqual(reloads()[1], {
        who: 'SIGHUP',
        ...{ before: { [flag]: '2000' }, after: { [flag]: '3000' }, problems: undefined },
      })
      await write(0)
      router.signal('SIGHUP')
      await eventually(() => reloads().length === 3, { what: 'the third' })
      assert.match(String(reloads()[2]?.problems), /--max-payload-size/)

      for (const at of [router.apiPort, port]) {
        await rawRequest({
          port: at,
          method: 'POST',
          path: '/workers',
          json: { url: `http://127.0.0.1:${at}` },
          headers: key,
        }).text()
      }
      await eventually(() => audits().length >= 5, { what: 'two changes more' })
      assert.deepEqual(
        audits()
          .slice(3)
          .map(({ action, listener }) => [action, listener]),
        [
          ['add worker', 'api'],
          ['add worker', 'operations'],
        ],
      )
      assert.doesNotMatch(JSON.stringify(audits()), /boss-key|other-key/)
    })
  }
})
