import { createGateway, RouterError } from 'vllm-router'

const tokens = new Set(['Bearer letmein'])

/** A router within a program of one's own, with one middleware at each of the two places that are open to them. */
const gateway = await createGateway({
  port: 0,
  prometheusPort: 0,
  workerUrls: process.argv.slice(2),
  middleware: [
    {
      // Before the router's own keys and before the body is read: the place for access control of one's own.
      position: 'before',
      middleware: async function ownKeys(c, next) {
        if (!tokens.has(c.req.header('authorization') ?? '')) {
          throw new RouterError('invalid_api_key', 'send the key of this program')
        }
        await next()
      },
    },
    {
      // After the body was read and checked, right before the request goes to a worker: the place for quotas.
      position: 'after',
      middleware: async function countBytes(c, next) {
        const bytes = c.get('body')?.byteLength ?? 0
        await next()
        c.res.headers.set('x-request-bytes', String(bytes))
      },
    },
  ],
})

const { api, operations } = await gateway.start()
process.stdout.write(`${JSON.stringify({ api, operations })}\n`)

process.once('SIGTERM', () => void gateway.stop({ settle: false }))
