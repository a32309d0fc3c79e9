/** A router whose API speaks TLS, in this process, before a scripted worker. */

import { connect } from 'node:tls'
import type { ConfigInput } from '../../app/config/settings.ts'
import { within } from './deadline.ts'
import { certificateFile, trusting } from './listener-tls.ts'
import type { RawAddress } from './raw-client.ts'
import type { Scope } from './scope.ts'
import { type ScriptedWorkerOptions, startScriptedWorker } from './scripted-worker.ts'
import { testGateway } from './test-gateway.ts'

export const listenerA = {
  tlsCertFile: certificateFile('listener-a.crt'),
  tlsKeyFile: certificateFile('listener-a.key'),
}

export async function secureRouter(
  t: Scope,
  options: ConfigInput = {},
  workerOptions: ScriptedWorkerOptions = {},
) {
  const worker = await startScriptedWorker(undefined, { t, ...workerOptions })
  const given = { port: 0, prometheusPort: 0, workerUrls: [worker.url], ...listenerA, ...options }
  const gateway = await testGateway(given)
  t.after(() => gateway.close())
  const { api, operations } = await gateway.start()
  const address: RawAddress = { port: Number(new URL(api).port), tls: trusting }
  return { gateway, given, worker, api, operations, address }
}

export interface Shown {
  /** Common name of the certificate. */
  readonly name: string
  /** For example TLSv1.3. */
  readonly version: string
}

/** What a listener shows to a new connection. */
export function shownTo({ port, tls = trusting }: RawAddress): Promise<Shown> {
  const shown = new Promise<Shown>((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', ...tls }, () => {
      resolve({
        name: String(socket.getPeerCertificate().subject.CN),
        version: String(socket.getProtocol()),
      })
      socket.destroy()
    })
    socket.on('error', reject)
  })
  return within(5000, shown, 'a handshake')
}

export const chat = (options: object = {}) => ({
  path: '/v1/chat/completions',
  json: { model: 'test-model', messages: [{ role: 'user', content: 'x' }], ...options },
})
