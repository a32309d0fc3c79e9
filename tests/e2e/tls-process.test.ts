/** A whole router whose listeners speak TLS, as operators run and ask it. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { watchCertificates } from '../../app/cli/certificate-watch.ts'
import { eventually, within } from '../support/deadline.ts'
import {
  certificateFile,
  type MountedCertificate,
  mountedCertificate,
  trusting,
} from '../support/listener-tls.ts'
import { rawRequest } from '../support/raw-client.ts'
import { type RouterProcess, runRouter, startRouter } from '../support/router-process.ts'
import type { Scope } from '../support/scope.ts'
import { startScriptedWorker } from '../support/scripted-worker.ts'
import { chat, shownTo } from '../support/secure-router.ts'

const timeout = 60_000

/** Both listeners show the mounted certificate. */
async function secureProgram(t: Scope, more: readonly string[] = []) {
  const worker = await startScriptedWorker(undefined, { t })
  const mounted = await mountedCertificate(t)
  const router = await startRouter({
    args: [...tlsFlags(mounted), ...more, '--worker-urls', worker.url],
    t,
  })
  return {
    mounted,
    router,
    api: { port: router.apiPort, tls: trusting },
    operations: { port: router.operationsPort, tls: trusting },
  }
}

function tlsFlags({ cert, key }: MountedCertificate): string[] {
  return ['', 'prometheus-'].flatMap((of) => [`--${of}tls-cert-file`, cert, `--${of}tls-key-file`, key])
}

async function ask(router: RouterProcess, path: string): Promise<string> {
  const exchange = rawRequest({ port: router.operationsPort, tls: trusting, path })
  return (await within(5000, exchange.text(), path)).text
}

function said(router: RouterProcess, msg: string): readonly Readonly<Record<string, unknown>>[] {
  return router.logs().filter((line) => line.msg === msg)
}

describe('a router whose listeners speak TLS', () => {
  test('tells when its certificates expire, and takes over others when told to reload', {
    timeout,
  }, async (t) => {
    const { router, mounted, api, operations } = await secureProgram(t)
    const expiry = async () =>
      /^vllm_router_tls_certificate_expiry_timestamp_seconds\{listener="operations"\} (\S+)$/m.exec(
        await ask(router, '/metrics'),
      )?.[1]
    assert.equal(Number(await expiry()) * 1000, Date.UTC(2120, 0, 1))
    await mounted.use('listener-b.crt', 'listener-b.key')
    router.signal('SIGHUP')
    await eventually(() => said(router, 'configuration reloaded').length > 0, { what: 'a word' })
    assert.deepEqual(said(router, 'configuration reloaded')[0]?.changed, [
      '--tls-cert-file',
      '--prometheus-tls-cert-file',
    ])
    await eventually(async () => (await shownTo(api)).name === 'listener b', { what: 'the API' })
    await eventually(async () => (await shownTo(operations)).name === 'listener b', { what: 'operations' })
    assert.equal(Number(await expiry()) * 1000, Date.UTC(2121, 0, 1))
  })

  test('keeps the certificates that it has when others are wrong, and says so', { timeout }, async (t) => {
    const { router, mounted, api, operations } = await secureProgram(t)
    await mounted.use('listener-expired.crt', 'listener-a.key')
    router.signal('SIGHUP')
    const refused = 'configuration not reloaded: the one before stays in force'
    await eventually(() => said(router, refused).length > 0, { what: 'a word' })
    assert.match(String(said(router, refused)[0]?.problems), /--tls-cert-file .* expired at 2021/)
    for (const address of [api, operations]) assert.equal((await shownTo(address)).name, 'listener a')
    const { last_reload: last } = JSON.parse(await ask(router, '/config'))
    assert.equal(last.ok, false)
    assert.match(await ask(router, '/metrics'), /^vllm_router_config_reload_success 0$/m)
  })

  test('of several processes sees by itself that the files have changed', { timeout }, async (t) => {
    const { mounted, api, operations } = await secureProgram(t, ['--processes', '2'])
    const streams = Array.from({ length: 20 }, () => rawRequest({ ...api, ...chat({ stream: true }) }))
    await mounted.use('listener-b.crt', 'listener-b.key')
    await eventually(async () => (await shownTo(operations)).name === 'listener b', {
      what: 'the supervisor',
      withinMs: 15_000,
      everyMs: 100,
    })
    // Each new connection is another process's, as the kernel has it.
    const names = await Promise.all(Array.from({ length: 20 }, () => shownTo(api)))
    const isBun = process.versions.bun !== undefined
    // On Bun the servers before serve on for a while.
    assert.ok(names.filter(({ name }) => name === 'listener b').length >= (isBun ? 1 : 20))
    for (const { body } of streams) assert.ok((await within(5000, body, 'a stream')).complete)
    assert.equal((await rawRequest({ ...api, ...chat() }).text()).status, 200)
  })

  test('is asked by the verbs, which believe the certificate that the settings name', {
    timeout,
  }, async (t) => {
    const { router, mounted } = await secureProgram(t)
    const ports = ['--port', String(router.apiPort), '--prometheus-port', String(router.operationsPort)]
    const run = (...args: string[]) => runRouter({ args, t })
    const flags = [...ports, ...tlsFlags(mounted)]
    assert.equal((await run('health', ...flags)).code, 0)
    assert.equal((await run('health', '--url', '/liveness', ...flags)).stdout, '200 OK')
    const workers = await run('workers', ...flags)
    assert.equal(workers.code, 0, workers.stderr)
    assert.match(workers.stdout, /healthy/)

    const url = ['--url', router.operations]
    const unknown = await run('workers', ...url)
    assert.equal(unknown.code, 1)
    assert.match(unknown.stderr, /certificate|CERT/i)
    assert.equal((await run('workers', ...url, '--ca-file', certificateFile('listener-ca.crt'))).code, 0)
    const gone = await run('workers', ...url, '--ca-file', certificateFile('nowhere.crt'))
    assert.deepEqual([gone.code, /--ca-file .*no such file/.test(gone.stderr)], [2, true])

    // Somebody else at that port, vouched for by the same authority.
    const other = await mountedCertificate(t)
    await other.use('listener-b.crt', 'listener-b.key')
    const stranger = await run('workers', ...ports, ...tlsFlags(other))
    assert.equal(stranger.code, 1)
  })
})

describe('certificates that are watched', () => {
  test('are tried again while they cannot be taken over', { timeout }, async (t) => {
    const mounted = await mountedCertificate(t)
    const causes: string[] = []
    const done = Promise.withResolvers<void>()
    const unwatch = watchCertificates(
      [mounted.cert, mounted.key],
      async (cause) => {
        causes.push(cause)
        if (causes.length === 3) done.resolve()
        return { at: '', ok: causes.length >= 3, changed: [], changes: [], problems: [] }
      },
      { intervalMs: 20, againMs: 30 },
    )
    t.after(unwatch)
    await new Promise((resolve) => setTimeout(resolve, 100))
    assert.deepEqual(causes, [])
    await mounted.use('listener-b.crt', 'listener-b.key')
    await within(5000, done.promise, 'the third time')
    await new Promise((resolve) => setTimeout(resolve, 100))
    assert.equal(causes.length, 3)
  })
})
