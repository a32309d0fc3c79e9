import { resolveOptions } from '../../app/config/resolve-options.ts'
import type { ConfigInput } from '../../app/config/settings.ts'
import { createRouter, type RouterParts } from '../../app/gateway/router.ts'
import { plainConnection } from '../../app/runtime/plain-connection.ts'

/** A gateway with more replaced, and more to be seen, than programs may replace and see. */
export async function testGateway(options: ConfigInput, parts: RouterParts = {}) {
  const config = resolveOptions(options)
  const router = await createRouter(config, parts)
  return {
    ...router,
    config,
    fetch: async (request: Request): Promise<Response> =>
      router.serveApi(request, { incoming: plainConnection(request) }),
    operations: async (request: Request): Promise<Response> =>
      router.serveOperations(request, { incoming: plainConnection(request) }),
  }
}
