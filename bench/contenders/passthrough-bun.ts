/** bun passthrough-bun.ts PORT WORKER...: each request to the next worker, the answer as it comes. */

const [port, ...workers] = process.argv.slice(2)
let next = 0

Bun.serve({
  port: Number(port),
  hostname: '127.0.0.1',
  idleTimeout: 0,
  fetch(request) {
    const { pathname, search } = new URL(request.url)
    const worker = workers[next++ % workers.length]
    const headers = new Headers(request.headers)
    headers.delete('host')
    return fetch(`http://${worker}${pathname}${search}`, {
      method: request.method,
      headers,
      body: request.body,
      redirect: 'manual',
      signal: request.signal,
      decompress: false,
    })
  },
})
