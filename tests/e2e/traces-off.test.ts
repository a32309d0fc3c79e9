/** Without tracing nothing of it is loaded, and the trace of a client passes as it came. */

import assert from 'node:assert/strict'
import { cp, mkdir, mkdtemp, readdir, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { startProgram } from '../support/child.ts'
import { within } from '../support/deadline.ts'
import { rawRequest } from '../support/raw-client.ts'
import { untilAvailable } from '../support/router-over.ts'
import { startRouter } from '../support/router-process.ts'
import type { Scope } from '../support/scope.ts'
import { startScriptedWorker } from '../support/scripted-worker.ts'
import { chat, chatPath } from '../support/traced-router.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))
const timeout = 30_000

/** The router's sources beside all of its dependencies, without those of OpenTelemetry. */
async function installWithout(t: Scope): Promise<string> {
  const home = await mkdtemp(join(tmpdir(), 'vllm-router-untraced-'))
  t.after(() => rm(home, { recursive: true, force: true }))
  for (const room of ['app', 'http', 'middleware', 'policies', 'package.json'])
    await cp(join(root, room), join(home, room), { recursive: true })
  await mkdir(join(home, 'node_modules'))
  for (const name of await readdir(join(root, 'node_modules')))
    if (name !== '@opentelemetry')
      await symlink(join(root, 'node_modules', name), join(home, 'node_modules', name))
  return relative(root, join(home, 'app/main.ts'))
}

test('a router without tracing needs none of its packages, and passes traces on as they come', {
  timeout,
}, async (t) => {
  const file = await installWithout(t)
  const worker = await startScriptedWorker(undefined, { t })
  const router = await startRouter({ file, t, args: ['--worker-urls', worker.url] })
  await untilAvailable(router, 1)
  const ask = async (headers: Readonly<Record<string, string>>) => {
    const exchange = rawRequest({ port: router.apiPort, path: chatPath, json: chat, headers })
    assert.equal((await within(5000, exchange.text(), 'an answer')).status, 200)
    return worker.requests.at(-1)!
  }
  const plain = await ask({})
  assert.equal(plain.header('traceparent'), undefined)
  const fields = { traceparent: 'anything', tracestate: 'a=1', b3: '0' }
  const traced = await ask(fields)
  for (const [name, value] of Object.entries(fields)) assert.equal(traced.header(name), value)
  const accept = 'application/openmetrics-text'
  const exchange = rawRequest({ port: router.operationsPort, path: '/metrics', headers: { accept } })
  assert.match((await exchange.head).header('content-type') ?? '', /^text\/plain/, 'metrics are as ever')
})

test('with tracing it does need them', { timeout }, async (t) => {
  const args = ['--enable-trace', '--port', '0', '--prometheus-port', '0']
  const program = startProgram({ file: await installWithout(t), args, t })
  const { code } = await within(20_000, program.exited, 'the end of the start')
  assert.equal(code, 1)
  assert.match(program.stderr(), /@opentelemetry\//)
})
