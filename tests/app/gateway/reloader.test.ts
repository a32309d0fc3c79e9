/** What is said of the configuration that was read last, in the metric and in `GET /config`. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { resolveOptions } from '../../../app/config/resolve-options.ts'
import { type ReadConfig, Reloader } from '../../../app/gateway/reloader.ts'
import { silentLog } from '../../../app/telemetry/log.ts'

function reloading() {
  const config = resolveOptions({})
  const fault = { name: '--policy', origin: 'file router.yaml:1:9', problem: 'got "nope"' }
  const file = { wrong: false, certificate: true }
  const read: ReadConfig = async () => (file.wrong ? { ok: false, faults: [fault] } : { ok: true, config })
  const told: boolean[] = []
  const reloader = new Reloader({
    ...{ config, log: silentLog(), read, onResult: (ok) => void told.push(ok) },
    prepare: () => {
      if (!file.certificate) throw new TypeError('the certificate does not fit')
      return () => []
    },
  })
  return { file, reloader, told, last: () => reloader.view().last_reload }
}

test('a wrong file stays wrong when a certificate is renewed', async () => {
  const { file, reloader, told, last } = reloading()
  file.wrong = true
  await reloader.reload('router.yaml')
  const { ok } = await reloader.renew('certificate files')
  assert.equal(ok, true)
  assert.equal(told.at(-1), false)
  assert.match(last()?.problems[0] ?? '', /router\.yaml:1:9\): got "nope"/)
  file.wrong = false
  await reloader.reload('router.yaml')
  assert.equal(told.at(-1), true)
  assert.equal(last()?.ok, true)
})

test('a certificate that could not be renewed is well again when it could', async () => {
  const { file, reloader, told, last } = reloading()
  file.certificate = false
  await reloader.renew('certificate files')
  assert.equal(told.at(-1), false)
  assert.match(last()?.problems[0] ?? '', /does not fit/)
  file.certificate = true
  await reloader.renew('certificate files')
  assert.deepEqual([told.at(-1), last()?.ok], [true, true])
})

test('of a wrong file and a wrong certificate, the file is said when the certificate is renewed', async () => {
  const { file, reloader, told, last } = reloading()
  file.wrong = true
  await reloader.reload('router.yaml')
  file.certificate = false
  await reloader.renew('certificate files')
  assert.match(last()?.problems[0] ?? '', /does not fit/)
  file.certificate = true
  await reloader.renew('certificate files')
  assert.equal(told.at(-1), false)
  assert.match(last()?.problems[0] ?? '', /router\.yaml:1:9/)
})
