import type { Config } from './config/settings.ts'
import type { HttpClient } from './runtime/http-client.ts'
import type { ProbeOptions } from './workers/probe.ts'
import { Prober } from './workers/prober.ts'

export interface ProberWiring extends Pick<ProbeOptions, 'clock' | 'random' | 'headers' | 'events'> {
  readonly config: Config
  readonly client: HttpClient
}

/** The prober as the configuration wants it. */
export function createProber({ config, client, ...parts }: ProberWiring): Prober {
  return new Prober(client, {
    ...parts,
    path: config.healthCheckEndpoint,
    intervalMs: config.healthCheckIntervalSecs * 1000,
    timeoutMs: config.healthCheckTimeoutSecs * 1000,
    failureThreshold: config.healthFailureThreshold,
    successThreshold: config.healthSuccessThreshold,
    checkIntervalMs: config.workerStartupCheckInterval * 1000,
    stallMs: config.workerStallTimeoutSecs * 1000,
  })
}
