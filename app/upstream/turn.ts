/**
 * Batches writes. All readable sockets are read first; everything to be written is written at the end of that turn of the
 * event loop, so that each peer wakes up once. With 32 connections that halves what a request costs on Node. When there
 * is little to do, a turn is over as soon as it has begun.
 */

let waiting: (() => void)[] = []

/** Calls `write` when this turn has read what there is to read. */
export function atEndOfTurn(write: () => void): void {
  if (waiting.push(write) === 1) setImmediate(writeAll)
}

/** Resolves when the writes of this turn are made: for answers that are to go out together. */
export function endOfTurn(): Promise<void> {
  turn ??= new Promise(begin)
  return turn
}

let turn: Promise<void> | undefined

function begin(resolve: () => void): void {
  atEndOfTurn(() => {
    turn = undefined
    resolve()
  })
}

function writeAll(): void {
  const all = waiting
  waiting = []
  const errors: unknown[] = []
  for (const write of all) {
    try {
      write()
    } catch (error) {
      errors.push(error)
    }
  }
  // The others have their bytes; whoever watches over the process hears of it.
  if (errors.length > 0) throw errors[0]
}
