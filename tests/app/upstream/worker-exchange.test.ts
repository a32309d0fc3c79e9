/** An answer that is pushed on: what waits for a sink that has enough, and who hears of which end. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TransportError } from '../../../app/upstream/http-client.ts'
import { WorkerExchange } from '../../../app/upstream/worker-exchange.ts'

function flowing({ takes = Number.POSITIVE_INFINITY } = {}) {
  const calls: string[] = []
  const told: string[] = []
  const exchange = new WorkerExchange()
  exchange.head.catch(() => {})
  exchange.begin({
    pause: () => calls.push('pause'),
    resume: () => calls.push('resume'),
    destroy: () => calls.push('destroy'),
  })
  let left = takes
  const sink = {
    write(bytes: Uint8Array) {
      told.push(bytes.byteLength > 100 ? `${bytes.byteLength} bytes` : Buffer.from(bytes).toString())
      return --left > 0
    },
    end: () => void told.push('end'),
    fail: (error: unknown) => void told.push((error as TransportError).code),
  }
  const come = (...chunks: (string | number)[]): void => {
    for (const chunk of chunks)
      exchange.onData(typeof chunk === 'number' ? Buffer.alloc(chunk) : Buffer.from(chunk))
    exchange.handOn()
  }
  const takeMore = (more: number): void => {
    left = more
    exchange.resume()
  }
  return { exchange, sink, calls, told, come, takeMore }
}

test('what has come before it flows goes first, and then each look at the socket in one piece', async () => {
  const { exchange, sink, told, come } = flowing()
  come('pulled')
  assert.equal(String(await exchange.read()), 'pulled')
  come('before', ', twice')
  assert.deepEqual(told, [])
  exchange.flow(sink)
  come('one')
  come('two', 'three')
  exchange.onData(Buffer.from('last'))
  exchange.onEnd()
  assert.deepEqual(told, ['before, twice', 'one', 'twothree', 'last', 'end'])
  assert.equal(exchange.borrows, false)
})

test('an answer that is complete before it flows is pushed with its end', () => {
  const { exchange, sink, told, come } = flowing()
  come('all')
  exchange.onEnd()
  exchange.flow(sink)
  assert.deepEqual(told, ['all', 'end'])
})

test('a sink that has enough gets nothing, the sender is stopped at the bound, and no byte is lost', () => {
  const { exchange, sink, calls, told, come, takeMore } = flowing({ takes: 1 })
  exchange.flow(sink)
  assert.equal(exchange.borrows, true)
  come('one')
  assert.equal(exchange.borrows, false)
  for (let time = 0; time < 4; time++) come(64 * 1024)
  assert.deepEqual([told, calls], [['one'], ['pause']])
  takeMore(2)
  assert.deepEqual([told.length, calls], [3, ['pause']])
  takeMore(10)
  assert.deepEqual([told.length, calls], [5, ['pause', 'resume']])
  assert.equal(exchange.borrows, true)
  come('more')
  exchange.onEnd()
  assert.deepEqual(told.slice(5), ['more', 'end'])
})

test('the end comes behind what waits, a loss at once, and each once', () => {
  const waiting = flowing({ takes: 1 })
  waiting.exchange.flow(waiting.sink)
  waiting.come('one')
  waiting.come('two')
  waiting.exchange.onEnd()
  waiting.exchange.fail(new TransportError('reset', 'ECONNRESET'))
  assert.deepEqual(waiting.told, ['one'])
  waiting.takeMore(5)
  waiting.takeMore(5)
  assert.deepEqual(waiting.told, ['one', 'two', 'end'])

  const lost = flowing({ takes: 1 })
  lost.exchange.flow(lost.sink)
  lost.come('one')
  lost.come('two')
  lost.exchange.fail(new TransportError('reset', 'ECONNRESET'))
  lost.takeMore(5)
  assert.deepEqual(lost.told, ['one', 'ECONNRESET'])
})

test('a loss before it flows is told when it flows', () => {
  const { exchange, sink, told, come } = flowing()
  come('one')
  exchange.fail(new TransportError('reset', 'ECONNRESET'))
  exchange.flow(sink)
  assert.deepEqual(told, ['ECONNRESET'])
})

test('who cancels hears nothing more, not even from within a write', () => {
  const { exchange, sink, calls, told, come } = flowing()
  exchange.flow({
    ...sink,
    write(bytes) {
      exchange.cancel()
      return sink.write(bytes)
    },
  })
  come('one')
  come('two')
  exchange.fail(new TransportError('reset', 'ECONNRESET'))
  assert.deepEqual([told, calls], [['one'], ['destroy']])
})
