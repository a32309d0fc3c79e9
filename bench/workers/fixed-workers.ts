import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { startProcess } from '../background-process.ts'
import { freePort } from '../free-port.ts'
import { installed } from '../installed.ts'
import { completion, modelList } from './answers.ts'
import { type WorkerFleet, workerAddresses } from './worker-fleet.ts'

/**
 * Workers that answer every request with the same completion: one nginx, which costs a tenth of a simulated vLLM server
 * written in JavaScript and so leaves the processor to what is measured.
 */
export async function startFixedWorkers(count: number, directory: string): Promise<WorkerFleet> {
  const nginx = installed('nginx')
  if (nginx === undefined) throw new Error('the workers of this cell need nginx: apt-get install nginx-light')
  const port = await freePort()
  const addresses = workerAddresses(count)
  const file = join(directory, 'fixed-workers.conf')
  writeFileSync(file, configuration(addresses, port, directory))
  const process = await startProcess({
    command: nginx,
    args: ['-p', directory, '-c', file, '-e', 'stderr'],
    directory,
    name: 'fixed-workers',
    readyUrl: `http://${addresses[0]}:${port}/health`,
  })
  return { hosts: addresses.map((address) => `${address}:${port}`), process }
}

function configuration(addresses: readonly string[], port: number, directory: string): string {
  return `
${process.getuid?.() === 0 ? 'user root;' : ''}
daemon off;
worker_processes 1;
error_log stderr error;
pid ${directory}/fixed-workers.pid;
events { worker_connections 16384; }
http {
  access_log off;
  keepalive_requests 100000000;
  keepalive_timeout 300s;
  client_max_body_size 64m;
  client_body_temp_path ${directory}/fixed-body;
  default_type application/json;
  server {
${addresses.map((address) => `    listen ${address}:${port} backlog=4096;`).join('\n')}
    location = /health { return 200 ''; }
    location = /v1/models { return 200 '${modelList}'; }
    location = /metrics { return 404; }
    location / { return 200 '${completion}'; }
  }
}
`
}
