import { runWrk } from '../load/wrk.ts'
import { startMeter } from '../meter.ts'
import { completion } from '../workers/answers.ts'
import { startFixedWorkers } from '../workers/fixed-workers.ts'
import type { WorkerFleet } from '../workers/worker-fleet.ts'
import type { Cell, LoadPlace, Sample } from './cell.ts'

export interface SaturationOptions extends Pick<Cell, 'name' | 'about'> {
  readonly connections: number
  readonly body: string
  readonly path?: string
  readonly expected?: string
  readonly seconds?: number
  /** For costs by token: how many an answer has. */
  readonly tokens?: number
  readonly only?: Cell['only']
  readonly startWorkers?: (directory: string) => Promise<WorkerFleet>
}

/** A cell in which that many connections ask again as soon as they have their answer. */
export function saturation(options: SaturationOptions): Cell {
  const { name, about, only, connections, body, path = '/v1/completions', expected = completion } = options
  const run = ({ target, directory }: LoadPlace, seconds: number) =>
    runWrk({ url: `http://${target.host}${path}`, connections, seconds, body, expected, directory })

  async function measure(place: LoadPlace): Promise<Sample> {
    const meter = startMeter(place)
    const {
      requests,
      seconds,
      errors,
      wrongAnswer,
      cpuMs: loadCpuMs,
      ...latency
    } = await run(place, place.seconds)
    return {
      ...meter.read(),
      units: requests * (options.tokens ?? 1),
      seconds,
      loadCpuMs,
      errors,
      wrongAnswer: wrongAnswer === '' ? undefined : wrongAnswer,
      latency: { mean: latency.meanMs, p50: latency.p50Ms, p99: latency.p99Ms },
    }
  }

  return {
    name,
    about,
    unit: options.tokens === undefined ? 'request' : 'token',
    seconds: options.seconds ?? 4,
    ...(only && { only }),
    startWorkers: options.startWorkers ?? ((directory) => startFixedWorkers(7, directory)),
    warm: (place) => run(place, 2),
    measure,
  }
}
