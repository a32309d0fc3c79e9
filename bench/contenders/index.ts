import { caddy } from './caddy.ts'
import type { Contender } from './contender.ts'
import { direct } from './direct.ts'
import { envoy } from './envoy.ts'
import { haproxy } from './haproxy.ts'
import { nginx } from './nginx.ts'
import { passthrough, socketPassthrough } from './passthrough.ts'
import { router } from './router.ts'
import { rustRouter } from './rust-router.ts'

/** All contenders, in the order in which they take turns. */
export function contenders(routerDirectory: string, flags: readonly string[]): Contender[] {
  const ours = { directory: routerDirectory, flags }
  return [
    direct,
    nginx,
    haproxy,
    caddy,
    envoy,
    passthrough('bun'),
    passthrough('node'),
    socketPassthrough('bun'),
    socketPassthrough('node'),
    router({ ...ours, runtime: 'bun' }),
    router({ ...ours, runtime: 'node' }),
    router({ ...ours, runtime: 'bun', logLevel: 'warn' }),
    router({ ...ours, runtime: 'node', logLevel: 'warn' }),
    router({ ...ours, runtime: 'bun', policy: 'cache_aware' }),
    router({ ...ours, runtime: 'node', policy: 'cache_aware' }),
    rustRouter,
  ]
}

/** Those of the quick run. */
export const quickContenders = ['direct', 'nginx', 'bare-bun', 'bare-node', 'router-bun', 'router-node']
