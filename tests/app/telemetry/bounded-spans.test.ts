/** Spans that have not arrived are bounded; what is lost is counted, once, with its reason. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { silentLog } from '../../../app/telemetry/log.ts'
import { BoundedSpans } from '../../../app/telemetry/otel/bounded-spans.ts'
import { eventually } from '../../support/deadline.ts'

type Options = ConstructorParameters<typeof BoundedSpans>[0]
type Exporter = Options['exporter']

const most = 600
/** As the SDK has them. */
const [success, failed] = [0, 1]
const span = {
  spanContext: () => ({ traceId: '', spanId: '', traceFlags: 1 }),
  resource: {},
} as unknown as Parameters<BoundedSpans['onEnd']>[0]

/** Answers when it is told to. */
function heldExporter() {
  const held: { spans: number; done: (result: { readonly code: number }) => void }[] = []
  const exporter: Exporter = {
    export: (spans, done) => void held.push({ spans: spans.length, done }),
    shutdown: async () => {},
  }
  return { exporter, held }
}

test('spans without room and spans that were not taken are counted, and no others', async () => {
  const lost = { queue_full: 0, not_delivered: 0 }
  const { exporter, held } = heldExporter()
  const spans = new BoundedSpans({
    ...{ exporter, log: silentLog(), endpoint: 'http://collector', batchMs: 1, most },
    onLost: (loss, count) => {
      lost[loss] += count
    },
  })
  const end = (count: number): void => {
    for (let made = 0; made < count; made++) spans.onEnd(span)
  }
  // The first batch is on its way as soon as there are enough for one.
  end(512)
  assert.deepEqual([held.length, lost.queue_full], [1, 0])
  end(most - 512)
  assert.equal(lost.queue_full, 0)
  end(7)
  assert.deepEqual(lost, { queue_full: 7, not_delivered: 0 })
  held[0]!.done({ code: success })
  await eventually(() => held.length === 2, { what: 'the next batch' })
  held[1]!.done({ code: failed })
  assert.equal(lost.not_delivered, most - 512)
  // There is room again.
  end(most)
  assert.deepEqual(lost, { queue_full: 7, not_delivered: most - 512 })
  await eventually(() => held.length === 3, { what: 'a batch of those' })
  held[2]!.done({ code: success })
  await eventually(() => held.length === 4, { what: 'the last batch' })
  held[3]!.done({ code: success })
  await spans.shutdown()
  const sent = held.reduce((sum, batch) => sum + batch.spans, 0)
  assert.equal(sent, 2 * most)
})
