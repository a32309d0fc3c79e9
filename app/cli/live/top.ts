import type { RequestView } from '../../request/request-view.ts'
import type { WorkerState } from '../../workers/worker-state.ts'
import type { Asked } from '../operate.ts'
import type { RunningRouter } from '../running-router.ts'
import { Refreshing } from './refreshing.ts'
import type { Screen, Terminal } from './terminal.ts'
import { inOrder, type TopFacts, topFrame } from './top-frame.ts'

/** Milliseconds between two questions to the router. */
const everyMs = 1000
/** Columns of a frame that goes to a file: nothing is cut off. */
const widest = 1000
/** Failed requests that are looked at; the router remembers a thousand of all kinds. */
const mostFailed = 200

/** Shows the fleet live on a terminal; elsewhere as it is now. Resolves with the exit code. */
export async function top(router: RunningRouter, asked: Asked): Promise<number> {
  const fleet = new Refreshing(() => askFleet(router))
  if (asked.terminal !== undefined) return await new Top(router, fleet, asked.terminal).run(asked.stop)
  await fleet.refresh()
  const frame = topFrame(
    { url: router.url, ...fleet.known, now: new Date() },
    { columns: widest, paint: false },
  )
  asked.out(`${frame.join('\n')}\n`)
  return fleet.known.trouble === undefined ? 0 : 1
}

async function askFleet(router: RunningRouter): Promise<TopFacts> {
  const [workers, { requests }] = await Promise.all([
    router.workers(),
    router.ask<{ requests: RequestView[] }>('GET', `/debug/requests?failed=true&limit=${mostFailed}`),
  ])
  return { workers, failed: requests }
}

class Top {
  readonly #router: RunningRouter
  readonly #fleet: Refreshing<TopFacts>
  readonly #terminal: Terminal
  /** Id of a worker: its row may move. */
  #selected: string | undefined
  #help = false
  /** What came of the last key. */
  #said = ''
  readonly #ended = new AbortController()

  constructor(router: RunningRouter, fleet: Refreshing<TopFacts>, terminal: Terminal) {
    this.#router = router
    this.#fleet = fleet
    this.#terminal = terminal
  }

  async run(stop: AbortSignal | undefined): Promise<number> {
    const screen = this.#terminal.open()
    const draw = (): void => this.#draw(screen)
    // Also while an answer is awaited: how old everything is must be seen.
    const clock = setInterval(draw, everyMs)
    stop?.addEventListener('abort', () => this.#ended.abort())
    try {
      screen.onResize(draw)
      screen.onKey((key) => {
        this.#press(key, draw)
        draw()
      })
      draw()
      await this.#fleet.run(everyMs, this.#ended.signal, draw)
      return 0
    } finally {
      clearInterval(clock)
      screen.close()
    }
  }

  #draw(screen: Screen): void {
    const { columns, rows } = screen
    const selected = this.#current()?.id
    const facts = { url: this.#router.url, ...this.#fleet.known, now: new Date() }
    const { colour: paint } = this.#terminal
    screen.draw(topFrame(facts, { columns, rows, paint, selected, help: this.#help, said: this.#said }))
  }

  get #workers(): readonly WorkerState[] {
    return inOrder(this.#fleet.known.value?.workers ?? [], new Date()).map(({ worker }) => worker)
  }

  /**
   * The first one, until another one is chosen. From then on it is the same one, wherever its row goes: a key must not
   * meet another worker than the one that was seen.
   */
  #current(): WorkerState | undefined {
    const workers = this.#workers
    const current = workers.find(({ id }) => id === this.#selected) ?? workers[0]
    this.#selected = current?.id
    return current
  }

  #press(key: string, draw: () => void): void {
    if (this.#help && key !== 'ctrl-c' && key !== 'hang up') {
      this.#help = false
      return
    }
    switch (key) {
      case 'q':
      case 'ctrl-c':
      case 'hang up':
        this.#ended.abort()
        return
      case '?':
        this.#help = true
        return
      case 'j':
      case 'down':
        this.#move(1)
        return
      case 'k':
      case 'up':
        this.#move(-1)
        return
      case 'd':
      case 'u':
        void this.#drain(key === 'd').finally(draw)
        return
    }
  }

  #move(by: number): void {
    const workers = this.#workers
    const at = workers.findIndex(({ id }) => id === this.#current()?.id)
    this.#selected = workers[Math.min(workers.length - 1, Math.max(0, at + by))]?.id
  }

  async #drain(draining: boolean): Promise<void> {
    const worker = this.#current()
    if (worker === undefined) return
    this.#said = `${draining ? 'draining' : 'taking back'} ${worker.url} ...`
    try {
      const path = `/workers/${encodeURIComponent(worker.id)}`
      const { in_flight: inFlight } = await this.#router.ask<WorkerState>('PATCH', path, { draining })
      this.#said = draining
        ? `${worker.url} gets nothing new, ${inFlight} in flight go on; u takes it back`
        : `${worker.url} gets requests again`
      await this.#fleet.refresh()
    } catch (error) {
      this.#said = error instanceof Error ? error.message : String(error)
    }
  }
}
