/** Logs to a standard output that cannot be written to, and says on standard error that it lives on. */

import { guardProcess } from '../../app/telemetry/guard-process.ts'
import { createLog } from '../../app/telemetry/log.ts'

const log = createLog({ level: 'info', format: 'json', terminal: false, colour: false })
guardProcess(log)
log.info('collected, and flushed in a moment')
log.error('flushed at once')
setTimeout(() => process.stderr.write('alive'), 300)
