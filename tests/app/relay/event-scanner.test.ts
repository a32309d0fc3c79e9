/** A stream of events cut anywhere by the network comes out cut only at the ends of events, and byte for byte. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { EventScanner, eachEvent } from '../../../app/relay/event-scanner.ts'
import { chunking, type SseStream, sseStream } from '../../support/sse.ts'

/** One event, with the line ends it is written with: mixed, as nothing forbids. */
const lineEnd = fc.constantFrom('\n', '\r\n', '\r')
const line = fc.constantFrom(
  'data: x',
  'data:',
  'data: {"text":"äö🙂\u2028"}',
  'data: [DONE]',
  ': comment',
  ':',
  'event: ping',
  'id: 7',
  'retry: 10',
  'unknown',
)

/**
 * Events of lines in any spelling, each with its blank line; with `blanks` also further blank lines between them.
 * A blank line after a CR is never a mere LF: that would be the other half of a CR LF.
 */
function mixedStream({ blanks }: { blanks: boolean }): fc.Arbitrary<SseStream> {
  const lines = fc.array(fc.tuple(line, lineEnd), { minLength: 1, maxLength: 4 })
  const event = fc.tuple(blanks ? fc.oneof({ weight: 4, arbitrary: lines }, fc.constant([])) : lines, lineEnd)
  return fc.tuple(lines, fc.array(event, { maxLength: 12 })).map(([first, rest]) => {
    let text = ''
    const boundaries: number[] = []
    for (const [list, blank] of [[first, '\n'] as const, ...rest]) {
      for (const [content, end] of list) text += content + end
      text += text.endsWith('\r') && blank === '\n' ? '\r\n' : blank
      boundaries.push(Buffer.byteLength(text))
    }
    return { bytes: Buffer.from(text), events: [], boundaries }
  })
}

const anyStream = fc.oneof(sseStream(), sseStream({ odd: false }), mixedStream({ blanks: true }))

/**
 * Ends of events, and one byte before those that end with CR LF: a CR ends its line at once, whatever comes after it.
 */
function allowedEnds({ bytes, boundaries }: SseStream): Set<number> {
  const ends = new Set(boundaries)
  for (const end of boundaries) {
    if (bytes[end - 1] === 10 && bytes[end - 2] === 13) ends.add(end - 1)
  }
  return ends
}

describe('whole events', () => {
  test('come out of any stream in any pieces, with nothing lost, added or changed', () => {
    fc.assert(
      fc.property(anyStream, chunking(), (stream, cut) => {
        const scanner = new EventScanner()
        const ends = allowedEnds(stream)
        const out: Uint8Array[] = []
        let sent = 0
        let received = 0
        for (const chunk of cut(stream.bytes)) {
          received += chunk.length
          const events = scanner.push(chunk)
          if (events !== undefined) {
            assert.ok(events.length > 0)
            out.push(events)
            sent += events.length
            assert.ok(ends.has(sent), `cut at ${sent} of ${JSON.stringify(stream.bytes.toString())}`)
          }
          assert.equal(scanner.heldBytes, received - sent)
        }
        assert.equal(scanner.heldBytes, 0, 'the stream ends with an event, so nothing is left')
        assert.deepEqual(Buffer.concat(out), stream.bytes)
      }),
      { numRuns: 1000 },
    )
  })

  test('come out as soon as they are complete', () => {
    fc.assert(
      fc.property(anyStream, chunking(), (stream, cut) => {
        const scanner = new EventScanner()
        const ends = [...allowedEnds(stream)].sort((a, b) => a - b)
        let received = 0
        for (const chunk of cut(stream.bytes)) {
          received += chunk.length
          scanner.push(chunk)
          const complete = ends.findLast((end) => end <= received) ?? 0
          assert.equal(scanner.heldBytes, received - complete)
        }
      }),
      { numRuns: 500 },
    )
  })

  test('are handed on without a copy where a chunk holds nothing else', () => {
    const chunk = Buffer.from('data: a\n\ndata: b\n\n')
    assert.equal(new EventScanner().push(chunk), chunk)
  })

  test('are handed on without a copy after an empty chunk, too, which changes nothing', () => {
    const scanner = new EventScanner()
    const chunk = Buffer.from('data: a\n\n')
    assert.equal(scanner.push(new Uint8Array(0)), undefined)
    assert.equal(scanner.push(chunk), chunk)
    assert.equal(scanner.push(Buffer.from('data: b\n')), undefined)
    assert.equal(scanner.push(new Uint8Array(0)), undefined)
    assert.equal(scanner.push(Buffer.from('\n'))?.toString(), 'data: b\n\n')
  })

  test('begin with their first line: a blank one before it ends nothing', () => {
    const scanner = new EventScanner()
    assert.equal(scanner.push(Buffer.from('\n')), undefined)
    assert.equal(scanner.push(Buffer.from('data: a\n\n'))?.toString(), '\ndata: a\n\n')
  })

  test('stay whole when a chunk ends between the CR and the LF of a line', () => {
    const scanner = new EventScanner()
    assert.equal(scanner.push(Buffer.from('data: a\r')), undefined)
    assert.equal(scanner.push(Buffer.from('\ndata: b\r\n')), undefined)
    assert.equal(scanner.push(Buffer.from('\r\n'))?.toString(), 'data: a\r\ndata: b\r\n\r\n')
  })

  test('come out when a chunk ends between the CR and the LF of their end', () => {
    const scanner = new EventScanner()
    assert.equal(scanner.push(Buffer.from('data: a\r\n\r'))?.toString(), 'data: a\r\n\r')
    assert.equal(scanner.push(Buffer.from('\ndata: b'))?.toString(), '\n')
    assert.equal(scanner.heldBytes, 7)
  })
})

describe('an event without an end', () => {
  test('is held and its bytes are counted, so that a limit can be kept', () => {
    const scanner = new EventScanner()
    assert.equal(scanner.push(Buffer.from('data: a\n\ndata: '))?.toString(), 'data: a\n\n')
    for (let bytes = 6; bytes < 100_000; bytes += 1000) {
      assert.equal(scanner.heldBytes, bytes)
      assert.equal(scanner.push(Buffer.alloc(1000, 'x')), undefined)
    }
  })

  test('is the same in single line ends, which end lines and no event', () => {
    const scanner = new EventScanner()
    for (let i = 0; i < 100; i++) assert.equal(scanner.push(Buffer.from('data: x\n')), undefined)
    assert.equal(scanner.heldBytes, 800)
    assert.equal(scanner.push(Buffer.from('\n'))?.length, 801)
    assert.equal(scanner.heldBytes, 0)
  })

  test('leaves nothing behind when the stream just ends', () => {
    const scanner = new EventScanner()
    assert.equal(scanner.push(new Uint8Array(0)), undefined)
    assert.equal(scanner.heldBytes, 0)
  })
})

describe('an event whose beginning is given out', () => {
  const passing = (...held: string[]) => {
    const scanner = new EventScanner()
    for (const piece of held) assert.equal(scanner.push(Buffer.from(piece)), undefined)
    assert.equal(Buffer.from(scanner.pass()).toString(), held.join(''))
    assert.deepEqual([scanner.heldBytes, scanner.isWithinEvent], [0, true])
    return scanner
  }

  test('is passed on up to its end, and no further', () => {
    const scanner = passing('data: a', 'b')
    assert.equal(scanner.passOn(Buffer.from('cd')), 2)
    assert.equal(scanner.isWithinEvent, true)
    assert.equal(scanner.passOn(Buffer.from('e\n')), 2)
    assert.equal(scanner.isWithinEvent, true)
    assert.equal(scanner.passOn(Buffer.from('\ndata: f\n\ndata: g')), 1)
    assert.equal(scanner.isWithinEvent, false)
    assert.equal(scanner.takeRest(), undefined)
    assert.equal(scanner.push(Buffer.from('data: f\n\n'))?.toString(), 'data: f\n\n')
  })

  test('ends with the CR of its blank line, and the LF behind that is no event of its own', () => {
    const scanner = passing('data: a\r')
    assert.equal(scanner.passOn(Buffer.from('\ndata: b\r\n\r\ndata: c')), 11)
    assert.equal(scanner.isWithinEvent, false)
    assert.equal(scanner.push(Buffer.from('\ndata: c'))?.toString(), '\n')
  })
})

test('what is held at the end of a stream is given out once', () => {
  const scanner = new EventScanner()
  assert.equal(scanner.takeRest(), undefined)
  scanner.push(Buffer.from('data: a\n\ndata'))
  scanner.push(Buffer.from(': b'))
  assert.equal(Buffer.from(scanner.takeRest() ?? '').toString(), 'data: b')
  assert.deepEqual([scanner.heldBytes, scanner.takeRest()], [0, undefined])
  assert.equal(scanner.push(Buffer.from('data: c\n\n'))?.toString(), 'data: c\n\n')
})

describe('reading event by event', () => {
  const split = (bytes: Uint8Array) => {
    const events: string[] = []
    eachEvent(bytes, (event) => {
      assert.ok(event.length > 0, 'an event of no bytes: reading would never end')
      events.push(event.toString('latin1'))
    })
    return events
  }

  test('gives exactly the events', () => {
    fc.assert(
      fc.property(fc.oneof(sseStream(), mixedStream({ blanks: false })), ({ bytes, boundaries }) => {
        const expected = boundaries.map((end, at) => bytes.toString('latin1', boundaries[at - 1] ?? 0, end))
        let at = 0
        eachEvent(bytes, (event) => assert.equal(event.toString('latin1'), expected[at++]))
        assert.equal(at, expected.length)
      }),
      { numRuns: 1000 },
    )
  })

  test('stops where it is told to', () => {
    let seen = 0
    eachEvent(Buffer.from('data: a\n\ndata: b\n\ndata: c\n\n'), () => ++seen === 2)
    assert.equal(seen, 2)
  })

  test('reads a part of a larger buffer only', () => {
    const bytes = Buffer.from('xxdata: a\n\ndata: b\n\nyy').subarray(2, 20)
    assert.deepEqual(split(bytes), ['data: a\n\n', 'data: b\n\n'])
  })

  test('hands on as it is what is alone, whole or not, however its lines end', () => {
    for (const text of [
      'data: a\n\n',
      'data: a\n',
      'data: a\r\n\r\n',
      'data: a\r\n',
      'data: a\r\r',
      'data: a\r',
    ]) {
      const bytes = Buffer.from(text)
      let seen = 0
      eachEvent(bytes, (event) => {
        assert.equal(event, bytes)
        seen += 1
      })
      assert.equal(seen, 1)
    }
  })

  test('takes an empty line at the beginning for an event of its own', () => {
    assert.deepEqual(split(Buffer.from('\r\ndata: a\r\n\r\n')), ['\r\n', 'data: a\r\n\r\n'])
  })

  test('of nothing gives nothing', () => {
    assert.deepEqual(split(new Uint8Array(0)), [])
  })
})
