import { resolveOptions } from '../../app/config/resolve-options.ts'
import type { ConfigInput } from '../../app/config/settings.ts'
import { createRouter } from '../../app/gateway/router.ts'
import type { RouterParts } from '../../app/gateway/router-parts.ts'
import { plainRequest } from '../../app/runtime/plain-request.ts'

/** A gateway with more replaced, and more to be seen, than programs may replace and see. */
export async function testGateway(options: ConfigInput, parts: RouterParts = {}) {
  const config = resolveOptions(options)
  const router = await createRouter(config, parts)
  return {
    ...router,
    config,
    fetch: async (request: Request): Promise<Response> =>
      router.serveApi(request, { incoming: plainRequest(request) }),
    operations: async (request: Request): Promise<Response> =>
      router.serveOperations(request, { incoming: plainRequest(request) }),
  }
}
