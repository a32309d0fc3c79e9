import { type Dialect, errorEvent, RouterError } from '../../http/errors.ts'
import { isObject, parseObject } from '../../http/json/json.ts'
import { bufferOver } from './event-scanner.ts'
import { workerError } from './worker-error.ts'

/** A worker's error answer as an event, where the status has been sent already: in its own words and its own shape. */
export function errorAnswerEvent(body: Uint8Array, status: number, dialect: Dialect): Uint8Array {
  const json = parseObject(bufferOver(body).toString('utf8'))
  if (json === undefined || !isObject(json.error) || dialect === 'responses') {
    const { message } = workerError(isObject(json?.error) ? json.error : (json ?? {}))
    const text = json === undefined ? `the worker answered with status ${status}` : message
    return errorEvent(new RouterError('bad_worker_response', text), dialect)
  }
  return event(JSON.stringify(json), dialect === 'anthropic' ? 'error' : undefined)
}

/** An answer that is no stream although one was asked for: all of it as one event, and the end marker. */
export function wholeAnswerEvent(body: Uint8Array, dialect: Dialect): Uint8Array {
  const text = bufferOver(body).toString('utf8')
  // Its lines become lines of the event's data.
  const data = text.replaceAll(/\r\n|\r|\n/g, '\ndata: ')
  return dialect === 'openai' ? Buffer.concat([event(data), event('[DONE]')]) : event(data)
}

function event(data: string, type?: string): Buffer {
  return Buffer.from(`${type === undefined ? '' : `event: ${type}\n`}data: ${data}\n\n`)
}
