import { optional } from '../kinds/kind.ts'
import { seconds, wholeNumber } from '../kinds/number-kinds.ts'
import { setting } from '../kinds/setting.ts'
import { howMany, onOff } from '../kinds/switch-kinds.ts'
import { list, text } from '../kinds/text-kinds.ts'
import { parseWorkerUrl } from '../kinds/worker-url.ts'
import { parseAllowPattern } from '../kinds/worker-url-allow.ts'

export const workers = {
  workerUrls: setting({
    kind: list('http:// or https:// addresses such as http://gpu1:8000', parseWorkerUrl),
    default: [],
    help: 'vLLM servers; more can be added while running',
    common: true,
  }),
  demo: setting({
    kind: howMany(7, 100),
    default: 0,
    help: 'route to simulated vLLM servers, 7 by default',
    common: true,
    restart: true,
  }),
  askUnlistedModels: setting({
    kind: onOff(),
    default: false,
    help: 'ask workers also for models that none lists: adapters that vLLM loads at their first request',
    danger: 'a made-up name costs one question to each worker',
  }),
  workerUrlAllow: setting({
    kind: list('hosts, host:port, *.suffix or IPv4 ranges such as 10.0.0.0/8', parseAllowPattern),
    default: [],
    help: 'workers added while running must match one of these; none allows any host',
    danger: 'without it, whoever may add workers can make the router call any host it can reach',
  }),
  workerCaFile: setting({
    kind: optional(text('the path of a file', undefined, '<file>'), 'none'),
    default: undefined,
    help: "authorities (PEM) that vouch for the workers' https certificates, instead of the usual ones; read anew when it changes",
    restart: true,
  }),
  workerServerName: setting({
    kind: optional(
      text('a host name, without scheme and port', (name) =>
        /^[a-z0-9]([a-z0-9_.-]*[a-z0-9])?$/i.test(name) ? { value: name.toLowerCase() } : { hint: undefined },
      ),
      'none',
    ),
    default: undefined,
    help: "name that the workers' https certificates must bear, instead of the host of each URL: for workers that are called by address",
  }),
  workerClientCert: setting({
    kind: optional(text('the path of a file', undefined, '<file>'), 'none'),
    default: undefined,
    help: 'certificate (PEM) that the router shows to https workers; read anew when it changes',
    restart: true,
  }),
  workerClientKey: setting({
    kind: optional(text('the path of a file', undefined, '<file>'), 'none'),
    default: undefined,
    help: 'private key (PEM) of that certificate; read anew when it changes',
    restart: true,
  }),
  intraNodeDataParallelSize: setting({
    kind: wholeNumber({ min: 1, max: 1024 }),
    default: 1,
    help: 'each worker URL is this many data-parallel ranks',
    restart: true,
  }),
  workerStartupTimeoutSecs: setting({
    kind: seconds(),
    default: 600,
    unit: 's',
    help: 'patience for a worker that has never been healthy; the router listens at once',
  }),
  workerStartupCheckInterval: setting({
    kind: seconds({ min: 0.01 }),
    default: 1,
    unit: 's',
    help: 'pause between probes of a worker that has never been healthy',
    aliases: ['worker-startup-check-interval-secs'],
  }),
  healthCheckEndpoint: setting({
    kind: text('a path that starts with /', (path) =>
      /^\/[^\s#]*$/.test(path) ? { value: path } : { hint: undefined },
    ),
    default: '/health',
    help: "path of a worker's health check",
  }),
  healthCheckIntervalSecs: setting({
    kind: seconds({ min: 0.01 }),
    default: 2,
    unit: 's',
    help: 'pause between probes of a worker; jittered',
  }),
  healthCheckTimeoutSecs: setting({
    kind: seconds({ min: 0.01 }),
    default: 5,
    unit: 's',
    help: 'a probe without answer for this long has failed',
  }),
  healthFailureThreshold: setting({
    kind: wholeNumber({ min: 1, max: 1000 }),
    default: 3,
    help: 'failed probes in a row that make a worker unhealthy',
  }),
  workerStallTimeoutSecs: setting({
    kind: seconds({ min: 1 }),
    default: 120,
    unit: 's',
    help: 'a worker whose own counters stand still for so long while it has requests is unhealthy',
    danger: 'shorter than its longest step (a large prefill without chunks): a busy worker is taken out',
  }),
  healthSuccessThreshold: setting({
    kind: wholeNumber({ min: 1, max: 1000 }),
    default: 2,
    help: 'good probes in a row that make it healthy again',
  }),
}
