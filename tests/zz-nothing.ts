import { apiRequest } from './support/api-bodies.ts'
import { pause, within } from './support/deadline.ts'
import { digestRequest } from './support/digest-client.ts'
import { routerOver } from './support/router-over.ts'
import { startScriptedWorker } from './support/scripted-worker.ts'
import { chunk, streamHead, repeat } from './support/wire.ts'
const cleanups: (() => unknown)[] = []
const t = { after: (w: () => unknown) => { cleanups.push(w) } }
const event = chunk(`data: {"choices":[{"index":0,"delta":{"content":"${'x'.repeat(10_000)}"}}]}\n\n`)
const worker = await startScriptedWorker([streamHead(), repeat(event)], { t })
const args = ['--shutdown-grace-secs', '1', '--shutdown-settle-secs', '0']
const router = await routerOver([worker], { args, t, runtime: process.env.RT as any })
const stream = digestRequest({ port: router.apiPort, ...apiRequest({ stream: true }) })
await stream.begun
stream.pause()
console.log('paused', stream.bytes)
await pause(2000)
console.log('stop')
const t0 = performance.now()
console.log(await router.stop('SIGTERM', 8000).catch(String), performance.now() - t0)
console.log(router.logs().slice(3))
for (const c of cleanups) await c()
