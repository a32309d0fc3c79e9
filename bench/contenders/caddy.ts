import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { startProcess } from '../background-process.ts'
import { freePort } from '../free-port.ts'
import { installed } from '../installed.ts'
import type { Contender, Place } from './contender.ts'
import { versionOf } from './version-of.ts'

export const caddy: Contender = {
  name: 'caddy',
  about: '`reverse_proxy`, round robin, `flush_interval -1`, no access log; uses all cores',
  native: true,
  version: () => versionOf(installed('caddy'), 'version'),
  async start(place) {
    const port = await freePort()
    const file = join(place.directory, 'Caddyfile')
    writeFileSync(file, configuration(place, port))
    const running = await startProcess({
      command: installed('caddy') ?? 'caddy',
      args: ['run', '--config', file, '--adapter', 'caddyfile'],
      directory: place.directory,
      name: 'caddy',
      env: { ...process.env, XDG_DATA_HOME: place.directory, XDG_CONFIG_HOME: place.directory },
      readyUrl: `http://127.0.0.1:${port}/health`,
    })
    return { host: `127.0.0.1:${port}`, process: running }
  },
}

function configuration({ workers }: Place, port: number): string {
  return `
{
  admin off
  auto_https off
  log {
    level ERROR
  }
}
http://127.0.0.1:${port} {
  bind 127.0.0.1
  reverse_proxy ${workers.join(' ')} {
    lb_policy round_robin
    flush_interval -1
    transport http {
      keepalive_idle_conns_per_host 256
      compression off
    }
  }
}
`
}
