/** One of several processes, at the end of a pipe in memory. */

import assert from 'node:assert/strict'
import { EventEmitter } from 'node:events'
import { test } from 'node:test'
import type { Port } from '../../../app/processes/channel.ts'
import { OwnProcess } from '../../../app/processes/own-process.ts'
import { silentLog } from '../../../app/telemetry/log.ts'
import type { WorkerState } from '../../../app/workers/worker-state.ts'
import { within } from '../../support/deadline.ts'
import type { Scope } from '../../support/scope.ts'

/** The supervisor's end: what is called is answered in any order. */
function supervise(t: Scope) {
  const pipe = new EventEmitter()
  const waiting = new Map<number, PromiseWithResolvers<unknown>>()
  const port: Port = {
    connected: true,
    send(messages, sent) {
      for (const { answer, value, error } of messages as {
        answer: number
        value: unknown
        error?: object
      }[]) {
        if (error === undefined) waiting.get(answer)?.resolve(value)
        else waiting.get(answer)?.reject(new Error(JSON.stringify(error)))
      }
      sent(null)
      return true
    },
    on: (event: string, listener: (...values: unknown[]) => void) => pipe.on(event, listener),
  }
  const own = new OwnProcess({ port, argv: [], env: {}, createLog: () => silentLog() })
  t.after(async () => {
    own.stop({ settle: false })
    await within(10_000, own.ended, 'the end of the process')
  })
  let next = 0
  return {
    call<Result>(call: string, argument: unknown): Promise<Result> {
      const id = next++
      const answered = Promise.withResolvers<unknown>()
      waiting.set(id, answered)
      pipe.emit('message', [{ call, argument, id }])
      return within(20_000, answered.promise as Promise<Result>, `the answer to ${call}`)
    },
  }
}

test('a reload while a process is starting does not keep the one after it from being taken over', {
  timeout: 60_000,
}, async (t) => {
  const config = { workerUrls: ['http://127.0.0.1:1'], host: '127.0.0.1', port: 0, logLevel: 'error' }
  const { call } = supervise(t)
  const order = { number: 1, config, hasCode: false, awaitAvailable: 0, sharesCap: false, sharesRate: false }
  const other = { ...config, disableCircuitBreaker: true }
  await Promise.all([
    call('start', order),
    ...[call('prepare', { reload: 1, config: other }), call('commit', 1)],
    ...[call('prepare', { reload: 2, config }), call('commit', 2)],
  ])
  const [worker] = await call<readonly WorkerState[]>('workers', null)
  assert.equal(worker?.breaker.state, 'closed')
})
