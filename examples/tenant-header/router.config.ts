import { type ConfigInput, RouterError } from 'vllm-router'

/** In a real deployment: from a file, a variable or a service of yours. */
const tenants = new Set(['acme', 'globex'])

/** Lets in only requests that name a known tenant, and says on every answer which one it was. */
export default {
  middleware: [
    {
      // Before keys and body: whoever is turned away here costs nothing.
      position: 'before',
      middleware: async function tenantHeader(c, next) {
        const tenant = c.req.header('x-tenant-id')
        if (tenant === undefined || !tenants.has(tenant)) {
          throw new RouterError('forbidden', 'the header x-tenant-id must name a tenant of this service', {
            param: 'x-tenant-id',
          })
        }
        await next()
        c.res.headers.set('x-tenant-id', tenant)
      },
    },
  ],
} satisfies ConfigInput
