/** Prints the line on a request as pino writes it, and as the router's shortcut does; then both for a log with a binding. */

import { createLog } from '../../app/telemetry/log.ts'
import { requestLog } from '../../app/telemetry/request-log.ts'

const fields = {
  request_id: 'a"b\\c\u0007é😀',
  method: 'POST',
  status: 200,
  error_code: undefined,
  stream: true,
  duration_ms: 0.25,
  first_token_ms: Number.NaN,
}
const log = createLog({ level: 'info', format: 'json', terminal: false, colour: false })
for (const one of [log, log.child({ process: 2 })]) {
  one.warn(fields, 'request')
  requestLog(one)('warn', fields)
}
