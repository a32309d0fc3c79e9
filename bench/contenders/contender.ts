import type { BackgroundProcess } from '../background-process.ts'

/** Something between client and workers, started anew for each cell. */
export interface Contender {
  readonly name: string
  /** For the notes under the tables: what it is and how it is set. */
  readonly about: string
  /** Whether it is as fast from the first request on as it ever will be, and needs no warming. */
  readonly native?: true
  /** Its version; undefined where it is not installed. */
  version(): string | undefined
  start(place: Place): Promise<RunningContender>
}

export interface Place {
  /** host:port of each worker. */
  readonly workers: readonly string[]
  /** For configuration and output. */
  readonly directory: string
}

export interface RunningContender {
  /** host:port to send requests to. */
  readonly host: string
  /** host:port of its metrics, where it has some that are worth a look. */
  readonly metricsHost?: string
  /** Undefined for no contender at all: the client talks to a worker. */
  readonly process: BackgroundProcess | undefined
}
