/** Uses up its own file descriptors, asks a worker at each host of its arguments, and prints how that failed. */

import { closeSync, openSync } from 'node:fs'
import { TransportError } from '../../app/upstream/http-client.ts'
import { outOfFiles } from '../../app/upstream/open-files.ts'
import { workerClient } from '../../app/upstream/worker-client.ts'

const client = workerClient({ connectTimeoutMs: 1000, idleSocketMs: 1000, maxHeadBytes: 1000 })

/** Port 9 is for discarding, and closed: a connection that came about would be refused. */
async function faultAt(host: string): Promise<string> {
  const request = { origin: `http://${host}:9`, path: '/', method: 'GET', headers: [], body: undefined }
  const error = await client.send(request).head.catch((reason: unknown) => reason)
  return error instanceof TransportError ? error.fault : String(error)
}

const files: number[] = []
const without: string[] = []
for (const host of process.argv.slice(2)) {
  let fault: string
  do {
    while (!outOfFiles()) files.push(openSync('/dev/null', 'r'))
    fault = await faultAt(host)
    // Again only where the runtime has closed files of its own meanwhile: such an attempt is refused by the host.
  } while (fault !== 'exhausted' && !outOfFiles())
  without.push(fault)
}
for (const file of files) closeSync(file)
const withFiles = await faultAt('127.0.0.1')
process.stdout.write(`${JSON.stringify({ without, with: withFiles })}\n`)
await client.close()
