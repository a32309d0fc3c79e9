/**
 * The simulated engine: which requests run, which wait, and when each output token exists.
 *
 * It stands where vLLM has scheduler and GPU. A request leaves the queue in order of arrival, its first token comes
 * after the prefill time, each further one after the token time; an aborted request leaves at once. With all times 0 a
 * request runs to its end in the turn in which it starts. Nothing here knows HTTP.
 */

import type { SimSettings } from './options.ts'
import { PrefixCache } from './prefix-cache.ts'
import { seededRandom } from './text.ts'
import { TimingWheel, type WheelEntry } from './timing-wheel.ts'

/** One request as the engine sees it. */
export interface EngineTask {
  readonly model: string
  readonly prompt: string
  readonly promptTokens: number
  /** Engine iterations that the request takes, at least 1. */
  readonly steps: number
  /** Output tokens of each iteration: one per sequence of the request; 0 for an embedding. */
  readonly tokensPerStep: number
  /** Called once when the request leaves the queue. `cachedTokens` of its prompt need no prefill. */
  admitted(cachedTokens: number): void
  /** `count` more steps are done. Return false to be given no more until `resume`. */
  produced(count: number): boolean
}

/** The engine's own record of a task. Opaque to its owner. */
export interface Place extends WheelEntry {
  readonly task: EngineTask
  state: 'waiting' | 'running' | 'over'
  emitted: number
}

/** Upper bounds of the buckets of `vllm:iteration_tokens_total`. */
export const iterationBuckets = [1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384]

/** In a burst a turn of the event loop is given back after this many steps, so that endless answers share it. */
const burstSteps = 256

export class Engine {
  readonly cache: PrefixCache
  readonly running = new Set<Place>()
  promptTokens = 0
  generatedTokens = 0
  /** Iterations by number of tokens: one count per bucket and one for all above. */
  readonly iterations: number[] = new Array(iterationBuckets.length + 1).fill(0)

  private readonly settings: SimSettings
  private readonly random: () => number
  private readonly queue = new Set<Place>()
  private readonly wheel: TimingWheel<Place>
  private turnTokens = 0
  private pumping = false

  constructor(settings: SimSettings) {
    this.settings = settings
    this.cache = new PrefixCache(settings.kvBlocks)
    this.random = seededRandom(settings.seed)
    this.wheel = new TimingWheel(
      (place, now) => this.run(place, now),
      () => this.countTurn(),
    )
  }

  get waiting(): number {
    return this.queue.size
  }

  /** True when a further request would be turned away. */
  get full(): boolean {
    const { maxConcurrent, maxQueued } = this.settings
    return this.running.size >= maxConcurrent && this.queue.size >= maxQueued
  }

  submit(task: EngineTask): Place {
    const place: Place = { task, state: 'waiting', emitted: 0, due: 0, armed: false }
    this.queue.add(place)
    this.pump()
    return place
  }

  /** Ends a request wherever it is and lets the next one in. */
  abort(place: Place): void {
    this.leave(place)
    this.pump()
  }

  /** Goes on with a request whose `produced` returned false. */
  resume(place: Place): void {
    if (place.state !== 'running' || place.armed) return
    const now = performance.now()
    place.due = Math.max(place.due, now)
    this.run(place, now)
    this.countTurn()
  }

  private leave(place: Place): void {
    place.state = 'over'
    this.wheel.cancel(place)
    this.queue.delete(place)
    this.running.delete(place)
  }

  /** Admits from the queue. A loop, not a recursion: in a burst each admitted request ends before the next. */
  private pump(): void {
    if (this.pumping) return
    this.pumping = true
    for (const place of this.queue) {
      if (this.running.size >= this.settings.maxConcurrent) break
      this.queue.delete(place)
      this.admit(place)
    }
    this.pumping = false
  }

  private admit(place: Place): void {
    const { task } = place
    const { prefixCache, ttftMs, prefillTokenMs } = this.settings
    place.state = 'running'
    this.running.add(place)
    const cached = prefixCache ? this.cache.admit(task.model, task.prompt, task.promptTokens) : 0
    this.promptTokens += task.promptTokens
    task.admitted(cached)
    const now = performance.now()
    const prefill = ttftMs + prefillTokenMs * (task.promptTokens - cached)
    place.due = now + this.jittered(prefill)
    if (place.due > now) {
      this.wheel.add(place)
      return
    }
    this.run(place, now)
    this.countTurn()
  }

  private jittered(ms: number): number {
    const { jitter } = this.settings
    return jitter === 0 ? ms : ms * (1 + jitter * (2 * this.random() - 1))
  }

  private run(place: Place, now: number): void {
    const { task } = place
    const count = this.stepsDue(place, now)
    place.emitted += count
    this.generatedTokens += count * task.tokensPerStep
    const goOn = task.produced(count)
    if (place.state === 'over') return
    if (place.emitted >= task.steps) {
      this.leave(place)
      this.pump()
    } else if (!goOn) return
    else if (this.settings.tokenMs > 0) this.wheel.add(place)
    else setImmediate(() => this.resume(place))
  }

  /** How many steps are due, moving the due time past them. Late timers are caught up with. */
  private stepsDue(place: Place, now: number): number {
    const { tokenMs } = this.settings
    const left = place.task.steps - place.emitted
    if (tokenMs === 0) {
      const count = Math.min(left, burstSteps)
      this.countIterations(place.task.tokensPerStep, count)
      return count
    }
    let count = 0
    while (place.due <= now && count < left) {
      count++
      place.due += this.jittered(tokenMs)
    }
    this.turnTokens += count * place.task.tokensPerStep
    return count
  }

  /** Tokens of all requests that fell due together are one iteration, as in a batch of vLLM. */
  private countTurn(): void {
    if (this.turnTokens > 0) this.countIterations(this.turnTokens, 1)
    this.turnTokens = 0
  }

  private countIterations(tokens: number, times: number): void {
    const found = iterationBuckets.findIndex((bound) => tokens <= bound)
    const bucket = found === -1 ? iterationBuckets.length : found
    this.iterations[bucket] = (this.iterations[bucket] as number) + times
  }
}
