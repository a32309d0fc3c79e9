import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { startProcess } from '../background-process.ts'
import { freePort } from '../free-port.ts'
import { installed } from '../installed.ts'
import type { Contender, Place } from './contender.ts'
import { versionOf } from './version-of.ts'

export const haproxy: Contender = {
  name: 'haproxy',
  about: 'one thread, connections to the workers reused, `http-no-delay`, no log',
  native: true,
  version: () => versionOf(installed('haproxy'), '-v'),
  async start(place) {
    const port = await freePort()
    const file = join(place.directory, 'haproxy.cfg')
    writeFileSync(file, configuration(place, port))
    const process = await startProcess({
      command: installed('haproxy') ?? 'haproxy',
      args: ['-db', '-f', file],
      directory: place.directory,
      name: 'haproxy',
      readyUrl: `http://127.0.0.1:${port}/health`,
    })
    return { host: `127.0.0.1:${port}`, process }
  },
}

function configuration({ workers }: Place, port: number): string {
  return `
global
  nbthread 1
  maxconn 9600
defaults
  mode http
  http-reuse always
  # Else the kernel may wait up to 200 ms for more before it sends a token.
  option http-no-delay
  timeout connect 5s
  timeout client 600s
  timeout server 600s
  timeout http-keep-alive 300s
frontend api
  bind 127.0.0.1:${port}
  default_backend workers
backend workers
  balance roundrobin
${workers.map((worker, index) => `  server w${index} ${worker}`).join('\n')}
`
}
