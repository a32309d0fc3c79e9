/** Status line and headers of every answer. */
import type { ServerResponse } from 'node:http'

/** `contentType` empty for none; `length` in bytes, undefined for a stream; `extra` are more names and values in turn. */
export type WriteHead = (
  res: ServerResponse,
  status: number,
  contentType: string,
  length?: number,
  extra?: readonly string[],
) => void

/** Writes heads that carry the worker's id, say that it is simulated, and echo the client's request id. */
export function headWriter(id: string, isListening: () => boolean): WriteHead {
  return (res, status, contentType, length, extra = []) => {
    const { connection = '', 'x-request-id': echo } = res.req.headers
    const headers = contentType === '' ? [] : ['Content-Type', contentType]
    headers.push('X-Worker-Id', id, 'X-Simulated', 'vllm', ...extra)
    if (length !== undefined) headers.push('Content-Length', String(length))
    if (typeof echo === 'string') headers.push('X-Request-Id', echo)
    // uvicorn sends neither Connection nor Keep-Alive on a connection that stays: clients get no hint when it ends.
    if (isListening() && !/close/i.test(connection)) res.removeHeader('Connection')
    else headers.push('Connection', 'close')
    res.writeHead(status, headers)
  }
}
