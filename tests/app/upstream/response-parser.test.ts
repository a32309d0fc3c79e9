/** Taking responses apart: the same parts however the bytes are cut, and a clear fault where two readers could disagree. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { type HeaderFields, TransportError } from '../../../app/upstream/http-client.ts'
import { ResponseParser } from '../../../app/upstream/response-parser.ts'

class Parts {
  status = 0
  headers: HeaderFields = []
  body = Buffer.alloc(0)
  ends = 0

  onHead(status: number, headers: HeaderFields): void {
    this.status = status
    this.headers = headers
  }

  onData(bytes: Uint8Array): void {
    this.body = Buffer.concat([this.body, bytes])
  }

  onEnd(): void {
    this.ends += 1
  }
}

function parse(pieces: readonly (string | Buffer)[], { method = 'POST', maxHeadBytes = 4096 } = {}) {
  const parts = new Parts()
  const parser = new ResponseParser({ parts, method, maxHeadBytes })
  for (const piece of pieces) parser.push(typeof piece === 'string' ? Buffer.from(piece, 'latin1') : piece)
  return { parts, parser }
}

function cut(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const at = [0, ...cuts.map((share) => Math.floor(share * bytes.length)).sort((a, b) => a - b), bytes.length]
  return at.slice(1).map((end, index) => bytes.subarray(at[index], end))
}

const ok = 'HTTP/1.1 200 OK\r\n'

describe('a response', () => {
  const body = fc.uint8Array({ maxLength: 300 })
  const cuts = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 12 })

  /** All the ways to write the size of a chunk. */
  const sizes = fc.constantFrom<(hex: string) => string>(
    (hex) => hex,
    (hex) => hex.toUpperCase(),
    (hex) => hex.padStart(8, '0'),
    (hex) => hex.padStart(13, '0'),
    (hex) => `${hex} \t`,
    (hex) => `${hex};a=b`,
  )

  test('comes out whole however its bytes are cut', () => {
    const pieces = fc.array(body, { maxLength: 5 })
    fc.assert(
      fc.property(pieces, fc.boolean(), sizes, cuts, (pieces, chunked, sizeLine, where) => {
        const whole = Buffer.concat(pieces)
        const framed = chunked
          ? Buffer.concat([
              ...pieces
                .filter(({ length }) => length > 0)
                .flatMap((piece) => [
                  Buffer.from(`${sizeLine(piece.length.toString(16))}\r\n`),
                  piece,
                  Buffer.from('\r\n'),
                ]),
              Buffer.from('0\r\nX-Trailer: 1\r\n\r\n'),
            ])
          : whole
        const length = chunked ? 'Transfer-Encoding: chunked' : `Content-Length: ${whole.length}`
        const head = `HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n${ok}Set-Cookie: a\r\nset-cookie:  b \r\n${length}\r\n\r\n`
        const { parts, parser } = parse(cut(Buffer.concat([Buffer.from(head), framed]), where))
        assert.equal(parts.status, 200)
        assert.deepEqual(parts.headers.slice(0, 2), [
          ['Set-Cookie', 'a'],
          ['set-cookie', 'b'],
        ])
        assert.ok(parts.body.equals(whole))
        assert.equal(parts.ends, 1)
        assert.ok(parser.done && parser.keepAlive)
      }),
    )
  })

  test('without a length lasts until the connection ends, which serves nobody else', () => {
    const { parts, parser } = parse([`${ok}X: y\r\n\r\n`, 'some', 'thing'])
    assert.equal(parts.ends, 0)
    assert.ok(parser.finish())
    assert.equal(parts.body.toString(), 'something')
    assert.equal(parts.ends, 1)
    assert.equal(parser.keepAlive, false)
  })

  test('that the connection cuts short is not done', () => {
    for (const bytes of [
      `${ok}Content-Length: 5\r\n\r\nfour`,
      `${ok}Transfer-Encoding: chunked\r\n\r\n4\r\nfour\r\n`,
      ok,
    ]) {
      const { parts, parser } = parse([bytes])
      assert.equal(parser.finish(), false, bytes)
      assert.equal(parts.ends, 0)
    }
  })

  const empty: [what: string, bytes: string, method?: string][] = [
    ['to HEAD', `${ok}Content-Length: 5\r\n\r\n`, 'HEAD'],
    ['204', 'HTTP/1.1 204 No Content\r\n\r\n'],
    ['304', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n'],
    ['of length 0', `${ok}Content-Length: 0\r\n\r\n`],
  ]
  for (const [what, bytes, method] of empty) {
    test(`${what} has no body`, () => {
      assert.ok(parse([bytes], { ...(method && { method }) }).parser.done)
    })
  }

  const closing: [bytes: string, keepAlive: boolean][] = [
    [`${ok}Connection: Close\r\nContent-Length: 0\r\n\r\n`, false],
    ['HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n', false],
    [`${ok}Connection: foo, close\r\nContent-Length: 0\r\n\r\n`, false],
    ['HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n', false],
    ['HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n', true],
  ]
  for (const [bytes, keepAlive] of closing) {
    test(`${JSON.stringify(bytes)} ${keepAlive ? 'keeps' : 'ends'} the connection`, () => {
      assert.equal(parse([bytes]).parser.keepAlive, keepAlive)
    })
  }
})

describe('a header value', () => {
  const trimmedValue = (written: string) =>
    parse([`${ok}X-A:${written}\r\nContent-Length: 0\r\n\r\n`]).parts.headers[0]?.[1]

  test('loses spaces and tabs at its ends, and nothing else', () => {
    for (const [written, value] of [
      [' voil\xc3\xa0', 'voil\xc3\xa0'],
      ['\xa0x\x85', '\xa0x\x85'],
      [' \t a \t b\t ', 'a \t b'],
      ['', ''],
      [' \t ', ''],
    ] as const)
      assert.equal(trimmedValue(written), value, JSON.stringify(written))
  })

  test('may hold no control character, at its ends neither', () => {
    for (let code = 0; code <= 0x7f; code++) {
      const char = String.fromCharCode(code)
      if (char === '\t' || (code >= 0x20 && code < 0x7f)) continue
      for (const written of [`a${char}b`, `${char}a`, `a${char}`])
        assert.throws(() => trimmedValue(written), TransportError, JSON.stringify(written))
    }
  })
})

describe('a faulty response is refused', () => {
  const faulty: [code: string, bytes: string][] = [
    ['BAD_STATUS_LINE', 'HTTP/2 200 OK\r\n\r\n'],
    ['BAD_STATUS_LINE', 'hello\r\n\r\n'],
    ['BAD_STATUS_LINE', 'HTTP/1.1 200 OK\nContent-Length: 3\r\n\r\nabc'],
    ['BAD_STATUS', 'HTTP/1.1 101 Switching Protocols\r\n\r\n'],
    ['BAD_STATUS', 'HTTP/1.1 099 Odd\r\n\r\n'],
    ['BAD_HEADER', `${ok}no colon\r\n\r\n`],
    ['BAD_HEADER', `${ok}Name : value\r\n\r\n`],
    ['BAD_HEADER', `${ok}X: a\r\n folded\r\n\r\n`],
    ['BAD_HEADER', `${ok}X: a\0b\r\n\r\n`],
    ['BAD_HEADER', `${ok}X: a\nContent-Length: 3\r\n\r\n`],
    ['TWO_LENGTHS', `${ok}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n`],
    ['BAD_CONTENT_LENGTH', `${ok}Content-Length: 5\r\nContent-Length: 5\r\n\r\n`],
    ['BAD_CONTENT_LENGTH', `${ok}Content-Length: 5, 5\r\n\r\n`],
    ['BAD_CONTENT_LENGTH', `${ok}Content-Length: -1\r\n\r\n`],
    ['BAD_TRANSFER_ENCODING', `${ok}Transfer-Encoding: gzip, chunked\r\n\r\n`],
    ['BAD_CHUNK_SIZE', `${ok}Transfer-Encoding: chunked\r\n\r\nxyz\r\n`],
    ['BAD_CHUNK_SIZE', `${ok}Transfer-Encoding: chunked\r\n\r\n-1\r\n`],
    ['CHUNK_TOO_LONG', `${ok}Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n`],
    ['BARE_LINE_FEED', `${ok}Transfer-Encoding: chunked\r\n\r\n1\nab\r\n`],
    ['BYTES_BEHIND_THE_END', `${ok}Content-Length: 1\r\n\r\nab`],
    ['HEADERS_TOO_LARGE', `${ok}X: ${'a'.repeat(5000)}\r\n\r\n`],
    ['HEADERS_TOO_LARGE', `${ok}X: ${'a'.repeat(5000)}`],
    ['HEADERS_TOO_LARGE', 'HTTP/1.1 100 Continue\r\n\r\n'.repeat(300)],
    ['TRAILERS_TOO_LARGE', `${ok}Transfer-Encoding: chunked\r\n\r\n0\r\n${'X: y\r\n'.repeat(1000)}`],
    ['LINE_TOO_LONG', `${ok}Transfer-Encoding: chunked\r\n\r\n1;${'a'.repeat(5000)}`],
  ]
  for (const [code, bytes] of faulty) {
    test(`${code}: ${JSON.stringify(bytes.slice(0, 70))}`, () => {
      for (const pieces of [[bytes], [...bytes]]) {
        assert.throws(
          () => parse(pieces),
          (error) => error instanceof TransportError && error.fault === 'protocol' && error.code === code,
        )
      }
    })
  }
})
