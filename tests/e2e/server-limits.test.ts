/** What the runtimes' own servers take of a request's framing. Where Bun's learns more, docs/requests.md is to be mended. */

import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { describe, test } from 'node:test'
import { within } from '../support/deadline.ts'
import { routerOver } from '../support/router-over.ts'
import { startScriptedWorker } from '../support/scripted-worker.ts'
import { shared } from '../support/shared.ts'
import { answer } from '../support/wire.ts'

const onBun = process.versions.bun !== undefined
const timeout = 60_000

const setup = shared(async (t) => {
  const worker = await startScriptedWorker(answer(200, '{}'), { t })
  return routerOver([worker], { t })
})

const body = '{"model":"test-model","prompt":"x"}'
const begin = 'POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n'
const whole = `${begin}Content-Length: ${body.length}\r\n\r\n${body}`
const last = whole.replace('\r\n', '\r\nConnection: close\r\n')
const chunked = (extension: string, trailer: string): string =>
  `${begin}Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n` +
  `${body.length.toString(16)}${extension}\r\n${body}\r\n0\r\n${trailer}\r\n`
const withFields = (count: number): string =>
  last.replace('\r\n', `\r\n${Array.from({ length: count }, (_, index) => `X-${index}: 1\r\n`).join('')}`)
const padded = (bytes: number): string => last.replace('\r\n', `\r\nX-Long: ${'x'.repeat(bytes)}\r\n`)

/** The statuses of all that comes back until the connection ends. */
async function statuses(port: number, bytes: string): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1' })
  let text = ''
  const over = new Promise<void>((resolve) => {
    socket.on('data', (piece) => {
      text += piece.toString('latin1')
    })
    socket.on('error', () => resolve())
    socket.on('close', () => resolve())
  })
  socket.write(bytes)
  await within(10_000, over, 'the end of the connection')
  return [...text.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status).join(' ')
}

const cases: readonly { what: string; bytes: string; node: string; bun: string | RegExp }[] = [
  { what: 'an ordinary request', bytes: last, node: '200', bun: '200' },
  { what: 'a header of 12 KiB', bytes: padded(12 * 1024), node: '200', bun: '200' },
  { what: 'a header of 20 KiB', bytes: padded(20 * 1024), node: '200', bun: '431' },
  { what: 'a header of 150 fields', bytes: withFields(150), node: '200', bun: '200' },
  { what: 'a header of 250 fields', bytes: withFields(250), node: '200', bun: '431' },
  { what: 'an empty line before the request', bytes: `\r\n${last}`, node: '200', bun: /^(400)?$/ },
  {
    what: 'an empty line between two',
    bytes: `${whole}\r\n${last}`,
    node: '200 200',
    bun: /^(200 )?(400)?$/,
  },
  { what: 'a chunk extension', bytes: chunked(';a="b;c"', ''), node: '200', bun: '200' },
  { what: 'a trailer field', bytes: chunked('', 'x-checksum: 1\r\n'), node: '200', bun: /^(400)?$/ },
  { what: 'two requests at once', bytes: whole + last, node: '200 200', bun: /^(200)?$/ },
]

describe(`the server of ${onBun ? 'Bun' : 'Node'}`, () => {
  for (const { what, bytes, node, bun } of cases) {
    test(`meets ${what} as docs/requests.md says`, { timeout }, async () => {
      const { apiPort } = await setup()
      const got = await statuses(apiPort, bytes)
      if (onBun && bun instanceof RegExp) assert.match(got, bun)
      else assert.equal(got, onBun ? bun : node)
    })
  }
})
