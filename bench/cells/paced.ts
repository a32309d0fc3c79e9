import { cpuBetween, readCpu } from '../cpu.ts'
import { startStreams } from '../load/load-process.ts'
import { startMeter } from '../meter.ts'
import { pause } from '../pause.ts'
import { delaysOf } from '../statistics.ts'
import { model } from '../workers/answers.ts'
import { startStreamWorkers } from '../workers/stream-workers.ts'
import type { Cell, LoadPlace, Sample } from './cell.ts'

const pace = 20
const tokens = 100

/** Streams with a token every 20 ms, 100 tokens each, begun again when they end. */
export function paced(streams: number): Cell {
  async function measure({ seconds, ...place }: LoadPlace): Promise<Sample> {
    const load = await startStreams({
      host: place.target.host,
      path: '/v1/chat/completions',
      body: JSON.stringify({ model, stream: true, messages: [{ role: 'user', content: 'Test' }] }),
      tokens,
      streams,
      // All within one second, so that ends and beginnings are spread over time afterwards too.
      opensPerSecond: streams,
      again: true,
    })
    try {
      load.begin()
      await pause(1500)
      await load.take()
      const meter = startMeter({ ...place, seconds })
      const loadBefore = readCpu(load.pid)
      const started = performance.now()
      await pause(seconds * 1000)
      const used = meter.read()
      const loadCpuMs = cpuBetween(loadBefore, readCpu(load.pid))
      const took = (performance.now() - started) / 1000
      const seen = await load.take()
      return {
        ...used,
        loadCpuMs,
        units: seen.tokens,
        seconds: took,
        errors: seen.errors,
        // None of so few streams may break.
        wrongAnswer: seen.wrongAnswer ?? seen.fault,
        firstToken: delaysOf(seen.firstTokenMs),
        tokenLag: delaysOf(seen.lagMs),
      }
    } finally {
      await load.stop()
    }
  }

  return {
    name: `sse-paced-${streams}`,
    about: `${streams} streams, a token every ${pace} ms, ${tokens} tokens each, begun again when they end`,
    unit: 'token',
    seconds: 4,
    startWorkers: (directory) => startStreamWorkers({ count: 7, tokens, pace, directory }),
    measure,
  }
}
