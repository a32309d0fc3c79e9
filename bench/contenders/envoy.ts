import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { startProcess } from '../background-process.ts'
import { freePort } from '../free-port.ts'
import { installed } from '../installed.ts'
import type { Contender, Place } from './contender.ts'
import { versionOf } from './version-of.ts'

export const envoy: Contender = {
  name: 'envoy',
  about: 'one worker thread, round robin, connections to the workers kept, no access log',
  native: true,
  version: () => versionOf(installed('envoy'), '--version'),
  async start(place) {
    const port = await freePort()
    const file = join(place.directory, 'envoy.json')
    writeFileSync(file, JSON.stringify(configuration(place, port)))
    const process = await startProcess({
      command: installed('envoy') ?? 'envoy',
      args: ['-c', file, '--concurrency', '1', '--log-level', 'error', '--disable-hot-restart'],
      directory: place.directory,
      name: 'envoy',
      readyUrl: `http://127.0.0.1:${port}/health`,
    })
    return { host: `127.0.0.1:${port}`, process }
  },
}

const socketAddress = (address: string, port: number) => ({
  address: { socket_address: { address, port_value: port } },
})

function configuration({ workers }: Place, port: number): object {
  const manager = {
    '@type':
      'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
    stat_prefix: 'api',
    codec_type: 'HTTP1',
    route_config: {
      virtual_hosts: [
        {
          name: 'all',
          domains: ['*'],
          // Else it ends whatever takes longer than 15 s.
          routes: [{ match: { prefix: '/' }, route: { cluster: 'workers', timeout: '0s' } }],
        },
      ],
    },
    http_filters: [
      {
        name: 'envoy.filters.http.router',
        typed_config: { '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router' },
      },
    ],
  }
  const endpoints = workers.map((worker) => {
    const [host = '', workerPort] = worker.split(':')
    return { endpoint: socketAddress(host, Number(workerPort)) }
  })
  // The defaults of 1,024 would turn streams away.
  const most = { max_connections: 100_000, max_pending_requests: 100_000, max_requests: 100_000 }
  return {
    static_resources: {
      listeners: [
        {
          name: 'api',
          ...socketAddress('127.0.0.1', port),
          tcp_backlog_size: 4096,
          filter_chains: [
            { filters: [{ name: 'envoy.filters.network.http_connection_manager', typed_config: manager }] },
          ],
        },
      ],
      clusters: [
        {
          name: 'workers',
          type: 'STATIC',
          connect_timeout: '5s',
          lb_policy: 'ROUND_ROBIN',
          circuit_breakers: { thresholds: [most] },
          load_assignment: { cluster_name: 'workers', endpoints: [{ lb_endpoints: endpoints }] },
        },
      ],
    },
  }
}
