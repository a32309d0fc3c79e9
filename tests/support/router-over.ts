/** A router of its own process in front of workers that are up already. */

import { eventually } from './deadline.ts'
import { rawRequest } from './raw-client.ts'
import { type RouterOptions, type RouterProcess, startRouter } from './router-process.ts'

export interface RouterOverOptions extends RouterOptions {
  /** How many workers must take requests before the tests begin. Default: all. */
  readonly available?: number
}

/** Starts it with `--worker-urls`, and waits until the workers can take requests. */
export async function routerOver(
  workers: readonly { readonly url: string }[],
  { args = [], available = workers.length, ...options }: RouterOverOptions,
): Promise<RouterProcess> {
  const urls = workers.length === 0 ? [] : ['--worker-urls', ...workers.map(({ url }) => url)]
  const router = await startRouter({ ...options, args: [...args, ...urls] })
  await untilAvailable(router, available)
  return router
}

/** Waits until exactly so many workers can take a request. */
export async function untilAvailable(router: RouterProcess, count: number, withinMs = 10_000): Promise<void> {
  await eventually(
    async () => {
      const { text } = await rawRequest({ port: router.operationsPort, path: '/readiness' }).text()
      return (JSON.parse(text) as { workers: { available: number } }).workers.available === count
    },
    { what: `${count} workers that can take a request`, withinMs },
  )
}
