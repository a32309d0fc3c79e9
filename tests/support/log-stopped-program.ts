/** Logs more lines than a reader who has stopped could ever take, and says on standard error how that went. */

import { createLog, droppedLines } from '../../app/telemetry/log.ts'

const lines = 40_000
const log = createLog({ level: 'info', format: 'json', terminal: false, colour: false })
let worstMs = 0
let last = performance.now()
for (let line = 1; line <= lines; line++) {
  log.info({ line }, 'a line of the usual length, as there is one for each request')
  if (line % 100 !== 0) continue
  await new Promise((resolve) => setImmediate(resolve))
  worstMs = Math.max(worstMs, performance.now() - last)
  last = performance.now()
}
process.stderr.write(`${JSON.stringify({ lines, dropped: droppedLines(log), worstMs })}\n`)
process.once('SIGTERM', () => process.exit(0))
setInterval(() => {}, 1000)
