import { decimal, seconds, wholeNumber } from '../kinds/number-kinds.ts'
import { setting } from '../kinds/setting.ts'
import { onOff } from '../kinds/switch-kinds.ts'

const milliseconds = wholeNumber({ min: 0, max: 1_000_000_000, of: 'milliseconds' })

export const retries = {
  retryMaxRetries: setting({
    kind: wholeNumber({ min: 1, max: 100 }),
    default: 3,
    help: 'attempts in all for one request',
    common: true,
  }),
  disableRetries: setting({
    kind: onOff(),
    default: false,
    help: 'one attempt only, whatever --retry-max-retries says',
  }),
  retryInitialBackoffMs: setting({
    kind: milliseconds,
    default: 50,
    unit: 'ms',
    help: 'first pause; only when no untried worker is left',
  }),
  retryMaxBackoffMs: setting({ kind: milliseconds, default: 2000, unit: 'ms', help: 'longest pause' }),
  retryBackoffMultiplier: setting({
    kind: decimal({ min: 1, max: 100 }),
    default: 1.5,
    help: 'growth of the pause with each attempt',
  }),
  retryJitterFactor: setting({
    kind: decimal({ min: 0, max: 1 }),
    default: 0.2,
    help: 'share of the pause that is random',
  }),
  retryBudgetRatio: setting({
    kind: decimal({ min: 0, max: 1 }),
    default: 0.2,
    help: 'retries may be at most this share of recent requests',
    danger: 'near 1, an outage of some workers doubles the load on the others',
  }),
  retryBudgetMinPerSec: setting({
    kind: decimal({ min: 0, max: 1_000_000 }),
    default: 10,
    unit: 'retries/s',
    help: 'and this many more, so that a quiet router may retry too',
  }),
}

export const breaker = {
  disableCircuitBreaker: setting({
    kind: onOff(),
    default: false,
    help: 'keep sending to workers that fail',
  }),
  cbFailureThreshold: setting({
    kind: wholeNumber({ min: 1, max: 1_000_000 }),
    default: 5,
    help: "failures in a row that open a worker's breaker",
  }),
  cbSuccessThreshold: setting({
    kind: wholeNumber({ min: 1, max: 1000 }),
    default: 2,
    help: 'successful trials in a row that close it',
  }),
  cbTimeoutDurationSecs: setting({
    kind: seconds({ min: 0.01 }),
    default: 5,
    unit: 's',
    help: 'first open time; doubles with each failed trial, to 60 s; jittered',
  }),
  cbWindowDurationSecs: setting({
    kind: seconds({ min: 0.1 }),
    default: 30,
    unit: 's',
    help: 'window of the failure-rate rule',
  }),
  cbFailureRateThreshold: setting({
    kind: decimal({ min: 0.01, max: 1 }),
    default: 0.5,
    help: 'share of failures in that window that opens the breaker',
  }),
  cbMinimumRequests: setting({
    kind: wholeNumber({ min: 1, max: 1_000_000 }),
    default: 20,
    unit: 'requests',
    help: 'requests the window must hold before that share counts',
  }),
}
