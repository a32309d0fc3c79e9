import type { RunningContender } from '../contenders/contender.ts'
import type { Delays } from '../statistics.ts'
import type { WorkerFleet } from '../workers/worker-fleet.ts'

/** One kind of load. */
export interface Cell {
  readonly name: string
  readonly about: string
  /** What costs are given for. */
  readonly unit: 'request' | 'token'
  /** Seconds of one measurement. */
  readonly seconds: number
  /** Contenders by name that the cell is for; undefined for all. */
  readonly only?: (contender: string) => boolean
  /** Whether each measurement gets a contender that was just started, for memory, and is alone meanwhile. */
  readonly fresh?: boolean
  startWorkers(directory: string): Promise<WorkerFleet>
  /** Load without a look, until code is warm; undefined where that would be wrong. */
  warm?(place: LoadPlace): Promise<unknown>
  measure(place: LoadPlace): Promise<Sample>
}

export interface LoadPlace {
  readonly target: RunningContender
  readonly workers: WorkerFleet
  readonly directory: string
  readonly seconds: number
}

/** One measurement of one contender. */
export interface Sample {
  readonly units: number
  readonly seconds: number
  /** Milliseconds of CPU of the contender, of the generator and of the workers. */
  readonly cpuMs: number
  readonly loadCpuMs: number
  readonly workerCpuMs: number
  /** The same of all programs on the machine. */
  readonly machineCpuMs: number
  readonly errors: number
  /** A wrong or short answer, which makes all figures worthless. */
  readonly wrongAnswer?: string | undefined
  /** The first error that is no wrong answer, such as a connection that was closed. */
  readonly fault?: string | undefined
  readonly peakKb: number
  /** Milliseconds of whole requests. */
  readonly latency?: Pick<Delays, 'mean' | 'p50' | 'p99'> | undefined
  /** Milliseconds from request to first token. */
  readonly firstToken?: Pick<Delays, 'mean' | 'p50' | 'p99'> | undefined
  /** Milliseconds from the worker's sending of a token to its arrival. */
  readonly tokenLag?: Pick<Delays, 'mean' | 'p50' | 'p99'> | undefined
  /** Kilobytes of memory that each open stream takes. */
  readonly kbPerStream?: number
  /** CPU, as a share of one core, while nothing is asked. */
  readonly idleCpuShare?: number | undefined
  /** Milliseconds of one scrape of /metrics. */
  readonly scrapeMs?: number | undefined
}
