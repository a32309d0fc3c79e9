import { cpuBetween, readCpu } from '../cpu.ts'
import { type LoadProcess, startStreams } from '../load/load-process.ts'
import type { StreamCounts } from '../load/stream-client.ts'
import { readMemory } from '../memory.ts'
import { startMeter } from '../meter.ts'
import { pause } from '../pause.ts'
import { delaysOf } from '../statistics.ts'
import { model } from '../workers/answers.ts'
import { startStreamWorkers } from '../workers/stream-workers.ts'
import type { Cell, LoadPlace, Sample } from './cell.ts'

const opensPerSecond = 500
const pace = 2000
/** Seconds for which all streams are open together. */
const togetherSeconds = 8
const scrapes = 5

/** Many streams with a token every two seconds: what an open stream costs that hardly says anything. */
export function openStreams(streams: number): Cell {
  const tokens = Math.ceil((streams / opensPerSecond + togetherSeconds) / (pace / 1000))

  async function measure(place: LoadPlace): Promise<Sample> {
    const pid = place.target.process?.pid
    const residentBefore = pid === undefined ? 0 : readMemory(pid).residentKb
    const load = await startStreams({
      host: place.target.host,
      path: '/v1/chat/completions',
      body: JSON.stringify({ model, stream: true, messages: [{ role: 'user', content: 'Test' }] }),
      tokens,
      streams,
      opensPerSecond,
      again: false,
    })
    try {
      const meter = startMeter(place)
      const loadBefore = readCpu(load.pid)
      const started = performance.now()
      load.begin()
      const totals = new Totals(() => (pid === undefined ? 0 : readMemory(pid).residentKb))
      const begun = (): boolean => totals.firstTokenMs.length + totals.errors >= streams
      await totals.until(load, streams / opensPerSecond + 30, begun)
      const scrapeMs = await scrapeTime(place.target.metricsHost)
      await totals.until(load, (tokens * pace) / 1000 + 30, () => totals.ended + totals.errors >= streams)
      return {
        ...meter.read(),
        loadCpuMs: cpuBetween(loadBefore, readCpu(load.pid)),
        units: totals.tokens,
        seconds: (performance.now() - started) / 1000,
        errors: streams - totals.ended,
        wrongAnswer: totals.wrongAnswer,
        fault: totals.fault,
        firstToken: delaysOf(totals.firstTokenMs),
        tokenLag: delaysOf(totals.lagMs),
        ...(pid !== undefined && { kbPerStream: (totals.mostOpenKb - residentBefore) / totals.mostOpen }),
        scrapeMs,
      }
    } finally {
      await load.stop()
    }
  }

  return {
    name: `open-${streams}`,
    about:
      `${streams} streams, ${opensPerSecond} new ones a second, a token every ${pace / 1000} s, all open together for ` +
      `some ${togetherSeconds} s, 100 workers`,
    unit: 'token',
    seconds: 1,
    fresh: true,
    startWorkers: (directory) => startStreamWorkers({ count: 100, tokens, pace, directory }),
    measure,
  }
}

/** All that was seen of a load. */
class Totals {
  readonly firstTokenMs: number[] = []
  readonly lagMs: number[] = []
  tokens = 0
  ended = 0
  errors = 0
  /** The most streams that were seen open at a time, and the contender's memory then. */
  mostOpen = 0
  mostOpenKb = 0
  fault: string | undefined
  wrongAnswer: string | undefined
  readonly #residentKb: () => number

  constructor(residentKb: () => number) {
    this.#residentKb = residentKb
  }

  async until(load: LoadProcess<StreamCounts>, seconds: number, done: () => boolean): Promise<void> {
    const deadline = performance.now() + seconds * 1000
    while (!done() && performance.now() < deadline) {
      await pause(250)
      const seen = await load.take()
      for (const value of seen.firstTokenMs) this.firstTokenMs.push(value)
      for (const value of seen.lagMs) this.lagMs.push(value)
      this.tokens += seen.tokens
      this.ended += seen.ended
      this.errors += seen.errors
      this.fault ??= seen.fault
      this.wrongAnswer ??= seen.wrongAnswer
      if (seen.open > this.mostOpen) {
        this.mostOpen = seen.open
        this.mostOpenKb = this.#residentKb()
      }
    }
  }
}

/** Milliseconds of the slowest of some scrapes. */
async function scrapeTime(host: string | undefined): Promise<number | undefined> {
  if (host === undefined) return undefined
  let slowest = 0
  for (let scrape = 0; scrape < scrapes; scrape++) {
    const started = performance.now()
    const response = await fetch(`http://${host}/metrics`)
    const text = await response.text()
    if (!response.ok || !text.includes('vllm_router_running_requests'))
      throw new Error('/metrics says nothing')
    slowest = Math.max(slowest, performance.now() - started)
    await pause(200)
  }
  return slowest
}
