import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { startProcess } from '../background-process.ts'
import { freePort } from '../free-port.ts'
import { installed } from '../installed.ts'
import type { Contender, Place } from './contender.ts'
import { versionOf } from './version-of.ts'

export const nginx: Contender = {
  name: 'nginx',
  about: 'one worker process, kept connections to the workers, `proxy_buffering off`, no access log',
  native: true,
  version: () => versionOf(installed('nginx'), '-v'),
  async start(place) {
    const port = await freePort()
    const file = join(place.directory, 'nginx.conf')
    writeFileSync(file, configuration(place, port))
    const process = await startProcess({
      command: installed('nginx') ?? 'nginx',
      args: ['-p', place.directory, '-c', file, '-e', 'stderr'],
      directory: place.directory,
      name: 'nginx',
      readyUrl: `http://127.0.0.1:${port}/health`,
    })
    return { host: `127.0.0.1:${port}`, process }
  },
}

function configuration({ workers, directory }: Place, port: number): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
  return `
${process.getuid?.() === 0 ? 'user root;' : ''}
daemon off;
worker_processes 1;
error_log stderr error;
pid ${directory}/nginx.pid;
worker_rlimit_nofile 20000;
# nginx closes waiting clients once 15 of 16 of these are taken; 9,500 streams need 19,000 of them.
events { worker_connections 24000; }
http {
  access_log off;
${temporary.map((what) => `  ${what}_temp_path ${directory}/nginx-${what};`).join('\n')}
  keepalive_requests 100000000;
  keepalive_timeout 300s;
  client_max_body_size 64m;
  client_body_buffer_size 2m;
  upstream workers {
${workers.map((worker) => `    server ${worker};`).join('\n')}
    keepalive ${Math.max(512, 2 * workers.length)};
    keepalive_requests 100000000;
  }
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location / {
      proxy_pass http://workers;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
      proxy_read_timeout 600s;
    }
  }
}
`
}
