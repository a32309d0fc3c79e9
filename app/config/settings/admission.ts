import { optional } from '../kinds/kind.ts'
import { decimal, seconds, wholeNumber } from '../kinds/number-kinds.ts'
import { setting } from '../kinds/setting.ts'
import { parseStoreUrl } from '../kinds/store-url.ts'
import { onOff } from '../kinds/switch-kinds.ts'
import { text } from '../kinds/text-kinds.ts'

const requests = wholeNumber({ min: 1, max: 1_000_000 })

export const admission = {
  maxConcurrentRequests: setting({
    kind: optional(requests, 'unlimited'),
    default: undefined,
    unit: 'requests',
    help: 'cap on requests in flight, to their last byte',
    common: true,
  }),
  slotsForHighPriority: setting({
    kind: wholeNumber({ min: 0, max: 1_000_000 }),
    default: 0,
    unit: 'requests',
    help: 'of that cap, what only requests of class high may take, so that no burst of others makes them wait',
  }),
  maxConcurrentRequestsPerWorker: setting({
    kind: optional(requests, 'unlimited'),
    default: undefined,
    unit: 'requests',
    help: 'the same per worker; one at its cap is not chosen',
  }),
  queueSize: setting({
    kind: wholeNumber({ min: 0, max: 1_000_000 }),
    default: 100,
    unit: 'requests',
    help: 'waiting room behind that cap; when full, 429',
    common: true,
  }),
  queueTimeoutSecs: setting({
    kind: seconds(),
    default: 60,
    unit: 's',
    help: 'longest wait in it; then 408',
  }),
  queueAgingSecs: setting({
    kind: seconds({ min: 0 }),
    default: 10,
    unit: 's',
    help: 'a request that has waited so long there gets one of 25 turns, ahead of higher classes',
  }),
  enginePriority: setting({
    kind: onOff(),
    default: false,
    help: "set vLLM's own priority by class: high -100, normal 0, low 100; a client may only choose a later one",
    danger: 'vLLM without --scheduling-policy priority refuses such requests',
  }),
  rateLimitTokensPerSecond: setting({
    kind: optional(decimal({ min: 0.001, max: 1_000_000 }), 'off'),
    default: undefined,
    unit: 'requests/s',
    help: "requests that may start per second, one second's worth at once; more gets 429",
    danger: 'a request that is retried counts once, a body that is refused not at all',
  }),
  limitsStore: setting({
    kind: optional(text('an address such as redis://host:6379/0', parseStoreUrl, '<url>'), 'none'),
    default: undefined,
    help: 'Redis or Valkey in which several routers share the limits of tenants',
    danger: 'while it is gone, each process keeps the limits by itself',
    secret: true,
    restart: true,
  }),
}
