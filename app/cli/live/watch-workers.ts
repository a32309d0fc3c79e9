import type { Asked } from '../operate.ts'
import type { RunningRouter } from '../running-router.ts'
import { workerTable } from '../views.ts'
import { clockTime, Refreshing, troubleText } from './refreshing.ts'

/** Milliseconds between two tables. */
const everyMs = 2000

/** Shows the table of workers again and again: in place on a terminal, elsewhere one below the other. */
export async function watchWorkers(router: RunningRouter, asked: Asked): Promise<number> {
  const { own, out, err, terminal, stop } = asked
  const ended = new AbortController()
  stop?.addEventListener('abort', () => ended.abort())
  if (stop?.aborted) ended.abort()
  const fleet = new Refreshing(() => router.workers())
  const text = (): string => {
    const { value, at, trouble } = fleet.known
    const now = new Date()
    const age = at === undefined ? '' : `as of ${clockTime(at)}\n`
    const heading = trouble === undefined ? age : `${troubleText(trouble, now)}\n${age}`
    return `${heading}${value === undefined ? '' : workerTable(value, now)}`
  }
  if (own.json !== undefined) {
    let away = false
    await fleet.run(everyMs, ended.signal, () => {
      const { value, trouble } = fleet.known
      if (trouble === undefined) out(`${JSON.stringify(value)}\n`)
      // Once: nothing else would come, for as long as it lasts.
      else if (!away) err(`${troubleText(trouble, new Date())}\n`)
      away = trouble !== undefined
    })
    return 0
  }
  if (terminal === undefined) {
    await fleet.run(everyMs, ended.signal, () => out(`${text()}\n`))
    return 0
  }
  const screen = terminal.open()
  const draw = (): void => screen.draw(text().trimEnd().split('\n'))
  try {
    screen.onResize(draw)
    screen.onKey((key) => {
      if (['q', 'ctrl-c', 'hang up'].includes(key)) ended.abort()
    })
    await fleet.run(everyMs, ended.signal, draw)
    return 0
  } finally {
    screen.close()
  }
}
