import { cpuBetween, readCpu } from '../cpu.ts'
import { startRate } from '../load/load-process.ts'
import type { RatePlan } from '../load/rate-client.ts'
import { startMeter } from '../meter.ts'
import { pause } from '../pause.ts'
import { delaysOf } from '../statistics.ts'
import { completion, model } from '../workers/answers.ts'
import { startFixedWorkers } from '../workers/fixed-workers.ts'
import type { Cell, LoadPlace, Sample } from './cell.ts'

export interface RateOptions
  extends Pick<Cell, 'name' | 'about'>,
    Pick<RatePlan, 'requestsPerSecond' | 'freshConnections'> {
  /** In place of as many as come in the seconds of a measurement. */
  readonly requests?: number
}

const longestAnswerMs = 5000

/** Requests that come at their own times, as clients do: what a router adds while it is not busy. */
export function rate({ name, about, requestsPerSecond, freshConnections, requests }: RateOptions): Cell {
  async function measure(place: LoadPlace): Promise<Sample> {
    const total = requests ?? requestsPerSecond * place.seconds
    const load = await startRate({
      host: place.target.host,
      path: '/v1/completions',
      body: JSON.stringify({ model, prompt: 'Test', max_tokens: 10 }),
      expected: completion,
      requestsPerSecond,
      requests: total,
      freshConnections,
    })
    try {
      const meter = startMeter(place)
      const loadBefore = readCpu(load.pid)
      const started = performance.now()
      load.begin()
      const latencyMs: number[] = []
      let errors = 0
      let fault: string | undefined
      const deadline = started + (total / requestsPerSecond) * 1000 + longestAnswerMs
      while (latencyMs.length + errors < total && performance.now() < deadline) {
        await pause(100)
        const seen = await load.take()
        latencyMs.push(...seen.latencyMs)
        errors += seen.errors
        fault ??= seen.fault
      }
      const seconds = (performance.now() - started) / 1000
      return {
        ...meter.read(),
        loadCpuMs: cpuBetween(loadBefore, readCpu(load.pid)),
        units: latencyMs.length,
        seconds,
        errors: total - latencyMs.length,
        wrongAnswer: fault,
        latency: delaysOf(latencyMs),
      }
    } finally {
      await load.stop()
    }
  }

  return {
    name,
    about,
    unit: 'request',
    seconds: 6,
    startWorkers: (directory) => startFixedWorkers(7, directory),
    warm: (place) => measure({ ...place, seconds: 2 }),
    measure,
  }
}
