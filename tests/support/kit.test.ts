/** The kit's deadlines, readers, random inputs and launchers do what the tests of the router rely on. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { DeadlineError, eventually, eventuallyHolds, within } from './deadline.ts'
import { MessageReader } from './http-reader.ts'
import { metricValue, parseMetrics, samplesOf } from './metrics.ts'
import { seeded, slices } from './random.ts'
import { openConnection, rawRequest } from './raw-client.ts'
import { runRouter, startRouter } from './router-process.ts'
import { startSim } from './sim-process.ts'
import { chunking, jsonBodyBytes, parseSse, SseParser, sseStream } from './sse.ts'

const never = new Promise<never>(() => {})

describe('deadlines', () => {
  test('within gives the value, or an error that names what was waited for', async () => {
    assert.equal(await within(1000, Promise.resolve(1), 'one'), 1)
    await assert.rejects(within(10, never, 'the end of time'), {
      name: 'DeadlineError',
      message: 'the end of time: not within 10 ms',
    })
    await assert.rejects(within(10, Promise.reject(new Error('own error')), 'x'), /own error/)
  })

  test('eventually waits through falsy values and errors, and returns the value', async () => {
    let looks = 0
    const check = (): string | undefined => {
      looks++
      if (looks === 1) throw new Error('not yet')
      return looks === 3 ? 'there' : undefined
    }
    assert.equal(await eventually(check, { what: 'it', everyMs: 1 }), 'there')
    const late = eventually(() => 0, { what: 'more than 0', withinMs: 30 })
    await assert.rejects(late, { message: 'more than 0: not within 30 ms; the last look gave 0' })
    await assert.rejects(
      eventually(() => never, { what: 'a slow look', withinMs: 30 }),
      DeadlineError,
    )
  })

  test('eventuallyHolds carries the last failed assertion', async () => {
    const started = performance.now()
    await eventuallyHolds(() => assert.ok(performance.now() - started > 20), { what: 'time passes' })
    const late = eventuallyHolds(() => assert.equal(1, 2, 'one is not two'), {
      what: 'nonsense',
      withinMs: 20,
    })
    await assert.rejects(late, /nonsense: not within 20 ms; at the last look: one is not two/)
  })
})

describe('Prometheus text', () => {
  const text = [
    '# HELP a_total Help with \\n in it',
    '# TYPE a_total counter',
    'a_total{worker="http://x:1",outcome="say \\"hi\\"\\\\"} 3',
    'a_total{worker="http://y:1",outcome="success"} 4.5e1 1700000000000',
    '# TYPE b histogram',
    'b_bucket{le="+Inf"} 0',
    'c NaN',
    '',
  ].join('\n')

  test('samples, labels, values and types', () => {
    const metrics = parseMetrics(text)
    assert.equal(metrics.types.get('a_total'), 'counter')
    assert.equal(samplesOf(metrics, 'a_total')[0]?.labels.outcome, 'say "hi"\\')
    assert.equal(metricValue(metrics, 'a_total', { worker: 'http://y:1' }), 45)
    assert.equal(metricValue(metrics, 'a_total'), 48)
    assert.equal(metricValue(metrics, 'b_bucket', { le: '+Inf' }), 0)
    assert.ok(Number.isNaN(metricValue(metrics, 'c')))
    assert.equal(metricValue(metrics, 'd'), undefined)
  })

  test('a line that Prometheus would refuse is an error', () => {
    for (const line of ['a', 'a{b=1} 2', 'a{b="1} 2', 'a{b="1" c="2"} 3', '1a 2', 'a one']) {
      assert.throws(() => parseMetrics(line), /Prometheus text/, line)
    }
  })
})

describe('server-sent events', () => {
  test('the parser follows the standard', () => {
    const text =
      '\uFEFF: comment\r\ndata: a\r\ndata:b\r\n\r\nevent: e\rdata:  c\r\rid: 1\n\ndata\n\nretry: 5\ndata: cut'
    assert.deepEqual(parseSse(text), [
      { event: 'message', data: 'a\nb' },
      { event: 'e', data: ' c' },
      { event: 'message', data: '' },
    ])
  })

  test('random streams are read back, however they are cut', () => {
    fc.assert(
      fc.property(sseStream(), chunking(), ({ bytes, events, boundaries }, cut) => {
        const seen: object[] = []
        const parser = new SseParser((event) => seen.push(event))
        const pieces = cut(bytes)
        for (const piece of pieces) parser.push(piece)
        assert.deepEqual(seen, events)
        assert.ok(!parser.insideEvent)
        assert.ok(Buffer.concat(pieces).equals(bytes))
        for (const [index, end] of boundaries.entries()) {
          assert.deepEqual(parseSse(bytes.subarray(0, end)), events.slice(0, index + 1))
        }
      }),
      { numRuns: 50 },
    )
  })

  test('plain streams are what vLLM sends: data lines and LF only', () => {
    fc.assert(
      fc.property(sseStream({ odd: false }), ({ bytes }) => {
        assert.match(bytes.toString(), /^(data: [^\r\n]+\n\n)+$/)
        assert.ok(bytes.toString().endsWith('data: [DONE]\n\n'))
      }),
      { numRuns: 50 },
    )
  })
})

describe('random inputs', () => {
  test('JSON bodies are valid requests in odd spellings', () => {
    let odd = 0
    fc.assert(
      fc.property(jsonBodyBytes(), (bytes) => {
        const value = JSON.parse(bytes.toString())
        assert.equal(value.model, 'test-model')
        assert.equal(value.messages[0].content, 'hi')
        if (JSON.stringify(value) !== bytes.toString()) odd++
      }),
      // What is counted is the generator, not luck: always the same hundred.
      { seed: 2026 },
    )
    assert.ok(odd > 80, `${odd} of 100 would survive a JSON reader and writer`)
  })

  test('seeded slices are the same for the same seed, and together the same bytes', () => {
    const bytes = Buffer.from('a'.repeat(1000))
    const cut = (seed: number) => slices(bytes, seeded(seed)).map(({ length }) => length)
    assert.deepEqual(cut(1), cut(1))
    assert.notDeepEqual(cut(1), cut(2))
    assert.equal(Buffer.concat(slices(bytes, seeded(3))).length, 1000)
    assert.ok(cut(1).every((length) => length >= 1 && length <= 40))
  })

  test('an HTTP message is read the same however it is cut', () => {
    const message =
      'HTTP/1.1 200 OK\r\nA: b\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\nrest'
    fc.assert(
      fc.property(chunking(), (cut) => {
        let body = ''
        const endings: boolean[] = []
        const reader = new MessageReader(
          { kind: 'response' },
          {
            onHead: ({ headers }) => assert.deepEqual(headers[0], ['A', 'b']),
            onBody: (piece) => {
              body += piece.toString()
            },
            onEnd: ({ complete }) => endings.push(complete),
          },
        )
        for (const piece of cut(Buffer.from(message))) reader.push(Buffer.from(piece))
        assert.equal(body, 'abc0123456789')
        assert.deepEqual(endings, [true])
        assert.equal(reader.rest.toString(), 'rest')
      }),
      { numRuns: 50 },
    )
  })
})

const file = 'tests/support/stand-in-program.ts'

describe('launchers', () => {
  for (const runtime of ['bun', 'node'] as const) {
    test(`the router starts on ${runtime}, is read and stopped`, async (t) => {
      const env = { VLLM_ROUTER_MADE_UP: '1' }
      const router = await startRouter({ t, file, runtime, args: ['--as', 'router'] })
      const [starting, odd] = router.logs()
      assert.deepEqual(starting?.args, ['--port', '0', '--prometheus-port', '0', '--as', 'router'])
      assert.equal(starting?.bun, runtime === 'bun')
      assert.deepEqual(starting?.environment, [])
      assert.deepEqual(odd, { notJson: 'not json' })
      assert.equal((await rawRequest({ port: router.apiPort }).text()).text, 'api')
      assert.equal(await router.metric('up', { part: 'b' }), 2)
      assert.deepEqual(await router.stop(), { code: 7, signal: null })
      const told = await startRouter({ t, file, runtime, args: ['--as', 'router', '--port=0'], env })
      assert.deepEqual(told.logs()[0]?.environment, ['VLLM_ROUTER_MADE_UP'])
    })
  }

  test('nothing of the environment of the test leaks', async (t) => {
    process.env.VLLM_ROUTER_PORT = '1'
    t.after(() => delete process.env.VLLM_ROUTER_PORT)
    const router = await startRouter({ t, file, args: ['--as', 'router'] })
    assert.deepEqual(router.logs()[0]?.environment, [])
  })

  test('a program that ends, or says nothing, fails with what it said', async () => {
    await assert.rejects(
      startRouter({ file, args: ['--as', 'broken'] }),
      /ended \(code 2\) before.*\na flag is wrong/,
    )
    const silent = startRouter({ file, args: ['--as', 'silent'], withinMs: 500 })
    await assert.rejects(silent, /the line "listening": not within 500 ms/)
    const exit = await runRouter({ file, args: ['--as', 'broken'] })
    assert.deepEqual([exit.code, exit.stderr], [2, 'a flag is wrong\n'])
  })

  test('a stubborn program and its children are gone when the test is', async (t) => {
    let ports: number[] = []
    await t.test('which leaves them running', async (inner) => {
      const router = await startRouter({ t: inner, file, args: ['--as', 'router', '--stubborn', '--child'] })
      const child = await eventually(
        () =>
          router.logs().flatMap(({ notJson }) => /^simulated .*:(\d+)$/.exec(String(notJson))?.[1] ?? [])[0],
        { what: 'the child' },
      )
      ports = [router.apiPort, Number(child)]
      await assert.rejects(router.stop('SIGTERM', 100), /the router's end after SIGTERM: not within 100 ms/)
      for (const port of ports) assert.equal((await rawRequest({ port }).text()).text, 'api')
    })
    assert.equal(ports.length, 2)
    for (const port of ports) assert.equal((await openConnection({ port }).closed).code, 'ECONNREFUSED')
  })

  test('a simulated server comes back on its port', async (t) => {
    const sim = await startSim({ t, file, args: ['--as', 'sim'] })
    const { pid } = sim
    assert.deepEqual(await sim.kill(), { code: null, signal: 'SIGKILL' })
    await sim.restart()
    assert.notEqual(sim.pid, pid)
    assert.equal((await rawRequest({ port: sim.port }).text()).text, 'api')
  })
})
