/** The instruments of the benchmark: what they say of a load that is known. */

import assert from 'node:assert/strict'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, type TestContext, test } from 'node:test'
import { barChart } from '../../bench/bar-chart.ts'
import type { Sample } from '../../bench/cells/cell.ts'
import { chart } from '../../bench/chart.ts'
import { cpuBetween, parseStat, readCpu } from '../../bench/cpu.ts'
import { AnswerReader } from '../../bench/load/answer-reader.ts'
import { RateClient } from '../../bench/load/rate-client.ts'
import { StreamCheck } from '../../bench/load/stream-check.ts'
import { StreamClient } from '../../bench/load/stream-client.ts'
import { cellTable } from '../../bench/report.ts'
import type { CellResult, Row } from '../../bench/run-cell.ts'
import { delaysOf, spreadOf } from '../../bench/statistics.ts'
import { burst, completion, lastEvents, roleEvent, tokenEvent } from '../../bench/workers/answers.ts'
import { Pacer } from '../../bench/workers/pacer.ts'
import { eventually, pause } from '../support/deadline.ts'

/** Microseconds. Not from zero: what the tests write into events lies a second back. */
const now = (): number => performance.now() * 1000 + 1e9

/** host:port of a server that ends with the test. */
async function serve(t: TestContext, handle: RequestListener): Promise<string> {
  const server = createServer(handle)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return `127.0.0.1:${(server.address() as AddressInfo).port}`
}

describe('CPU time', () => {
  test('is read out of a line whose name holds brackets and blanks', () => {
    const line = '42 (a) b) c) S 7 42 42 0 -1 4194560 1 2 3 4 150 50 30 20 20 0 11 0 12345 1 2'
    assert.deepEqual(parseStat(line), { parent: 7, ownMs: 2000, childrenMs: 500 })
  })

  test('of a process that computes is what it has taken', () => {
    const before = readCpu(process.pid)
    const own = process.cpuUsage()
    const until = performance.now() + 150
    while (performance.now() < until) Math.sqrt(performance.now())
    const { user, system } = process.cpuUsage(own)
    const measured = cpuBetween(before, readCpu(process.pid))
    assert.ok(Math.abs(measured - (user + system) / 1000) < 40, `${measured} ms, really ${user + system} us`)
  })

  test('takes the coarse count where a thread has ended with what it knew', () => {
    const before = { ticksMs: 0, threads: new Map([['1/1', 0]]) }
    assert.equal(cpuBetween(before, { ticksMs: 500, threads: new Map([['1/1', 2e6]]) }), 500)
    assert.equal(cpuBetween(before, { ticksMs: 10, threads: new Map([['1/1', 2e6]]) }), 2)
  })
})

describe('statistics', () => {
  test('give median, lowest and highest of repeats', () => {
    assert.deepEqual(spreadOf([3, 1, 2]), { median: 2, min: 1, max: 3 })
    assert.deepEqual(spreadOf([4, 1, 2, 3]), { median: 2.5, min: 1, max: 4 })
    assert.equal(spreadOf([]), undefined)
  })

  test('give percentiles of delays, sorted as numbers', () => {
    const delays = delaysOf(Array.from({ length: 200 }, (_, index) => 200 - index))
    assert.deepEqual(delays, { count: 200, mean: 100.5, p50: 100, p99: 198, max: 200 })
  })
})

describe('the table', () => {
  const sample = (cpuMs: number, p50: number): Sample => ({
    ...{ units: 1000, seconds: 2, cpuMs, loadCpuMs: 5, workerCpuMs: 7, machineCpuMs: 412 + cpuMs },
    ...{ errors: 0, peakKb: 2048, latency: { mean: p50, p50, p99: p50 } },
  })

  test('compares each repeat with nginx and the direct way in the same repeat', () => {
    const lines = cellTable(
      {
        ...{ cell: 'json', about: 'short answers', unit: 'request' },
        rows: [
          { contender: 'direct', samples: [sample(0, 1), sample(0, 2), sample(0, 1)] },
          { contender: 'nginx', samples: [sample(10, 1), sample(20, 2), sample(10, 1)] },
          { contender: 'ours', samples: [sample(30, 1.5), sample(50, 3), sample(20, 1.2)] },
          { contender: 'bare-bun', samples: [sample(20, 2), sample(20, 2), sample(20, 2)] },
          {
            contender: 'ours-bun',
            samples: [sample(20, 2), sample(20, 2), { ...sample(20, 2), units: 800 }],
          },
          { contender: 'gone', samples: [], missing: 'not installed' },
        ],
      },
      2,
    )
    const cells = (name: string): string[] =>
      lines.find((line) => line.startsWith(`| ${name} `))?.split(/ *\| */) ?? []
    assert.deepEqual(cells('ours').slice(2, 5), ['30.0 (20.0 to 50.0)', '2.50 (2.00 to 3.00)', '500'])
    assert.equal(cells('ours')[7], '0.50 (0.20 to 1.00)', 'p50 added')
    assert.equal(
      cells('ours-bun')[5],
      '1.00 (0.80 to 1.00)',
      'throughput of the passthrough on the same runtime',
    )
    assert.equal(cells('direct')[2], '-')
    assert.equal(cells('gone')[2], 'not installed')
    assert.match(
      lines.join('\n'),
      /generator 5\.0, workers 7\.0 us of CPU a request\. All else that ran used 10\.0%/,
    )
  })
})

describe('the chart', () => {
  const sample = (cpuMs: number): Sample => ({
    ...{ units: 1000, seconds: 2, cpuMs, loadCpuMs: 5, workerCpuMs: 7, machineCpuMs: 500 },
    ...{ errors: 0, peakKb: 2048 },
  })
  const cell = (rows: readonly Row[]): CellResult => ({
    ...{ cell: 'json-32', about: 'short answers', unit: 'request' },
    rows: [{ contender: 'direct', samples: [sample(0), sample(0)] }, ...rows],
  })
  const nginx = { contender: 'nginx', samples: [sample(10), sample(20)] }
  /** Each bar: its label, its pixels, its figure. */
  const barsOf = (svg: string): string[][] =>
    [...svg.matchAll(/end">([^<]*)<.*?width="([\d.]+)".*?y="\d+">([\d.]+)<\/text>/g)].map((bar) =>
      bar.slice(1),
    )

  test('has a bar for each contender that was measured, as long as its ratio to nginx', () => {
    const rows = [
      { contender: 'router-bun', samples: [sample(30), sample(40)] },
      { contender: 'gone', samples: [], missing: 'not installed' },
      nginx,
    ]
    const svg = chart([cell(rows)]) ?? ''
    assert.match(svg, /json-32: CPU of a request, nginx is 1/)
    const [first = [], second = [], ...others] = barsOf(svg)
    assert.deepEqual([first[0], first[2]], ['nginx', '1.00'])
    assert.deepEqual([second[0], second[2]], ['router-bun', '2.50'])
    assert.deepEqual(others, [])
    assert.ok(Math.abs(Number(second[1]) / Number(first[1]) - 2.5) < 0.01)
    // One line for repeats that differ, from 2 to 3 times nginx.
    assert.equal(svg.match(/<path/g)?.length, 1)
  })

  test('is not there without nginx to compare with', () => {
    assert.equal(chart([cell([])]), undefined)
  })

  test('can be read in dark and in light, and is as small as text is', () => {
    const svg = chart([cell([nginx]), cell([nginx]), cell([nginx])]) ?? ''
    assert.match(svg, /prefers-color-scheme:dark/)
    assert.match(svg, /role="img" aria-label="CPU of each contender/)
    assert.ok(svg.length < 3000, `${svg.length} bytes`)
  })

  test('writes labels as text, whatever is in them', () => {
    const bars = [{ label: '<a & "b">', value: 1, ours: true }]
    const svg = barChart({ label: '"x"', labelWidth: 100, panels: [{ title: 'a < b', bars }] })
    assert.match(svg, /&lt;a &amp; &quot;b&quot;>/)
    assert.match(svg, /aria-label="&quot;x&quot;"/)
  })
})

describe('reading answers', () => {
  const chunked =
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\nTrailer: 1\r\n\r\n'
  const counted = 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello'

  test('does not depend on where the pieces are cut', () => {
    const stream = Buffer.from(chunked + counted + chunked)
    for (const size of [1, 2, 3, 7, 50, stream.length]) {
      const bodies: string[] = ['']
      const reader = new AnswerReader(
        (bytes) => bodies.push((bodies.pop() ?? '') + bytes.toString()),
        () => bodies.push(''),
      )
      for (let at = 0; at < stream.length; at += size) reader.push(stream.subarray(at, at + size))
      assert.deepEqual(bodies, ['abc0123456789', 'hello', 'abc0123456789', ''], `pieces of ${size}`)
      assert.ok(reader.close())
    }
  })

  test('objects to an answer that is cut off and to chunks without a size', () => {
    const reader = () =>
      new AnswerReader(
        () => {},
        () => {},
      )
    const cut = reader()
    cut.push(Buffer.from(counted.slice(0, -1)))
    assert.equal(cut.close(), false)
    assert.throws(() => reader().push(Buffer.from(chunked.replace('\r\n3\r\n', '\r\nx\r\n'))), /no size/)
  })
})

describe('checking a stream', () => {
  const verdict = (text: string, tokens = 3): string | undefined => {
    const check = new StreamCheck(tokens, () => {})
    for (const byte of Buffer.from(text)) check.push(Buffer.of(byte))
    return check.end()
  }

  test('finds nothing in a whole one, and whatever is wrong in others', () => {
    assert.equal(verdict(burst(3)), undefined)
    assert.match(verdict(burst(2)) ?? '', /2 of 3 tokens/)
    assert.match(verdict(burst(3).replace('data: [DONE]\n\n', '')) ?? '', /bytes instead of/)
    assert.match(verdict(burst(3).replace('000001', '000002')) ?? '', /token 2 instead of 1/)
    assert.match(verdict(burst(3).replace('[DONE]', '[GONE]')) ?? '', /unknown event/)
    assert.match(verdict(burst(3).replace('chunk', 'chunks')) ?? '', /unknown event|tokens/)
  })
})

test('the pacer serves at start + n x period, and makes up for what a late tick has missed', async () => {
  let time = 0
  const pacer = new Pacer(() => time)
  let served = 0
  const cancel = pacer.every(20, () => void served++)
  const after = async (ms: number, count: number): Promise<void> => {
    time = ms
    await eventually(() => served >= count, { what: `${count} times by ${ms} ms` })
    assert.equal(served, count)
  }
  await after(1, 1)
  await after(21, 2)
  await after(101, 6)
  cancel()
  time = 1000
  await pause(10)
  assert.equal(served, 6)
})

describe('the generator of streams', () => {
  const plan = (host: string) => ({
    host,
    path: '/',
    body: '{}',
    tokens: 4,
    streams: 6,
    opensPerSecond: 1000,
    again: false,
  })

  /** Every token says that it was sent a second ago; the first comes after 30 ms. */
  function paced(fault = ''): RequestListener {
    return (request, response) => {
      request.resume()
      response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders()
      let number = 0
      const timer = setInterval(() => {
        response.write((number === 0 ? roleEvent : '') + tokenEvent(number, now() - 1_000_000))
        if (++number < 4) return
        clearInterval(timer)
        if (fault === 'cut') response.destroy()
        else response.end(fault === 'short' ? 'data: [DONE]\n\n' : lastEvents)
      }, 30)
    }
  }

  async function run(t: TestContext, handle: RequestListener) {
    const client = new StreamClient(plan(await serve(t, handle)), now)
    t.after(() => client.stop())
    client.start()
    const seen = {
      tokens: 0,
      ended: 0,
      errors: 0,
      fault: '',
      wrongAnswer: '',
      firstTokenMs: [] as number[],
      lagMs: [] as number[],
    }
    await eventually(
      () => {
        const { tokens, ended, errors, fault, wrongAnswer, firstTokenMs, lagMs } = client.take()
        seen.wrongAnswer ||= wrongAnswer ?? ''
        seen.tokens += tokens
        seen.ended += ended
        seen.errors += errors
        seen.fault ||= fault ?? ''
        seen.firstTokenMs.push(...firstTokenMs)
        seen.lagMs.push(...lagMs)
        return seen.ended + seen.errors === 6
      },
      { what: 'the end of six streams' },
    )
    return seen
  }

  test('measures what a server of known schedule does', async (t) => {
    const seen = await run(t, paced())
    assert.deepEqual([seen.tokens, seen.ended, seen.errors, seen.fault], [24, 6, 0, ''])
    assert.equal(seen.firstTokenMs.length, 6)
    // Timers may be a millisecond early; how late they are is the machine's affair, and bounded by the deadline.
    assert.ok(Math.min(...seen.firstTokenMs) >= 29, `first tokens ${seen.firstTokenMs}`)
    assert.equal(seen.lagMs.length, 24)
    assert.ok(Math.min(...seen.lagMs) >= 1000, `lags ${seen.lagMs}`)
  })

  test('tells a stream that came to a wrong end from one that was cut off', async (t) => {
    const seen = await run(t, paced('short'))
    assert.equal(seen.errors, 6)
    assert.match(seen.wrongAnswer, /bytes instead of/)
  })

  test('counts a stream that is cut off as an error, and says so', async (t) => {
    const seen = await run(t, paced('cut'))
    assert.deepEqual([seen.ended, seen.errors], [0, 6])
    assert.notEqual(seen.fault, '')
    assert.equal(seen.wrongAnswer, '')
  })
})

describe('the generator of a constant rate', () => {
  test('does not wait for slow answers, and counts wrong ones', async (t) => {
    let running = 0
    let most = 0
    let served = 0
    const host = await serve(t, (request, response) => {
      request.resume()
      most = Math.max(most, ++running)
      const answer = ++served === 7 ? 'something else' : completion
      setTimeout(() => {
        running--
        response.end(answer)
      }, 50)
    })
    const plan = { host, path: '/', body: '{}', expected: completion, requestsPerSecond: 400, requests: 40 }
    const client = new RateClient({ ...plan, freshConnections: false }, now)
    t.after(() => client.stop())
    client.start()
    const latencies: number[] = []
    let errors = 0
    let fault: string | undefined
    await eventually(
      () => {
        const seen = client.take()
        latencies.push(...seen.latencyMs)
        errors += seen.errors
        fault ??= seen.fault
        return latencies.length + errors === 40
      },
      { what: '40 answers' },
    )
    assert.equal(errors, 1)
    assert.match(fault ?? '', /something else/)
    assert.equal(served, 40)
    assert.ok(Math.min(...latencies) >= 49, `latencies ${latencies}`)
    assert.ok(most > 1, 'several at a time')
  })
})
