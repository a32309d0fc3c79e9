/** A client for very long answers: it keeps a count and a hash of them instead of the bytes, and reads when it likes. */

import { createHash } from 'node:crypto'
import { connect } from 'node:net'
import { MessageReader } from './http-reader.ts'
import { type RawRequestOptions, requestBytes } from './request-bytes.ts'
import { resetSocket } from './sockets.ts'

export interface Digest {
  /** Of the body, without chunk framing. */
  readonly bytes: number
  readonly sha1: string
  /** It ended where its framing says. */
  readonly complete: boolean
}

export interface DigestClient {
  /** Settles with the first byte of the body. */
  readonly begun: Promise<void>
  /** Never rejects: see `complete`. */
  readonly digest: Promise<Digest>
  /** Bytes of the body so far. */
  readonly bytes: number
  /** Takes nothing more off the socket, until `resume`. */
  pause(): void
  resume(): void
  abort(): void
}

export function digestRequest(options: RawRequestOptions & { readonly port: number }): DigestClient {
  const socket = connect({ port: options.port, host: '127.0.0.1', noDelay: true })
  const hash = createHash('sha1')
  const begun = Promise.withResolvers<void>()
  const digest = Promise.withResolvers<Digest>()
  let bytes = 0
  const reader = new MessageReader(
    { kind: 'response' },
    {
      onHead: () => {},
      onBody: (piece) => {
        bytes += piece.length
        hash.update(piece)
        begun.resolve()
      },
      onEnd: ({ complete }) => {
        digest.resolve({ bytes, sha1: hash.digest('hex'), complete })
        socket.destroy()
      },
    },
  )
  socket.on('data', (piece: Buffer) => reader.push(piece))
  socket.on('end', () => reader.finish('fin'))
  socket.on('error', () => reader.finish('reset'))
  socket.on('close', () => reader.finish('local'))
  socket.write(requestBytes(options, `127.0.0.1:${options.port}`))
  return {
    begun: begun.promise,
    digest: digest.promise,
    get bytes() {
      return bytes
    },
    pause: () => socket.pause(),
    resume: () => socket.resume(),
    abort: () => resetSocket(socket),
  }
}
