import { startRouter } from './support/router-process.ts'
import { startScriptedWorker } from './support/scripted-worker.ts'
import { rawRequest } from './support/raw-client.ts'
import { chunk, lastChunk, streamHead, completed } from './support/wire.ts'
import { pause } from './support/deadline.ts'
import { readFileSync } from 'node:fs'
const cleanups: (() => unknown)[] = []
const t = { after: (w: () => unknown) => { cleanups.push(w) } }
const mb = Number(process.env.MB ?? 8), n = Number(process.env.N ?? 20)
const event = `data: {"id":"x","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"${'x'.repeat(1000)}"},"finish_reason":null}]}\n\n`
const count = Math.ceil(mb * 2 ** 20 / event.length)
let written = 0
const script = [streamHead(), async (wire: any) => { for (let i = 0; i < count && !wire.over; i++) { await wire.write(chunk(event)); written += event.length } }, chunk('data: [DONE]\n\n'), lastChunk, completed]
const worker = await startScriptedWorker(() => script, { t })
const router = await startRouter({ t, args: ['--worker-urls', worker.url], runtime: process.env.RT as any })
await pause(500)
const rss = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${router.pid}/status`, 'utf8'))![1]) / 1024
for (let i = 0; i < 200; i++) await rawRequest({ port: router.apiPort, path: '/v1/models' }).text()
const req = () => rawRequest({ port: router.apiPort, path: '/v1/chat/completions', json: { model: 'test-model', messages: [{ role: 'user', content: 'x' }], stream: true } })
for (let w = 0; w < Number(process.env.WARM ?? 0); w++) { await Promise.all(Array.from({ length: n }, () => req().body)); console.log('warm', rss()) }
written = 0
const before = rss()
const clients = Array.from({ length: n }, () => rawRequest({ port: router.apiPort, path: '/v1/chat/completions', json: { model: 'test-model', messages: [{ role: 'user', content: 'x' }], stream: true } }))
await Promise.all(clients.map((c) => c.firstEvents(1)))
for (const c of clients) c.pauseReading()
for (let i = 0; i < 8; i++) { await pause(500); console.log('rss', rss().toFixed(0), '+', ((rss() - before) / n).toFixed(2), 'MB each; written MB each', (written / n / 2 ** 20).toFixed(2)) }
for (const c of clients) c.resume()
const t0 = performance.now()
const bodies = await Promise.all(clients.map((c) => c.body))
console.log('all', performance.now() - t0, bodies.every((b) => b.complete), new Set(bodies.map((b) => b.bytes.length)), count * event.length + 14, 'rss', rss())
for (const c of cleanups) await c()
