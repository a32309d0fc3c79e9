import type { Clock } from '../../../runtime/clock.ts'
import type { ByteReader, PendingAnswer } from '../../../upstream/http-client.ts'

/** Bytes of a list: some thousand pods with all that Kubernetes notes on them. */
const maxListBytes = 64 * 1024 * 1024
/** Bytes of an event: etcd does not take objects above 1.5 MiB. */
const maxLineBytes = 4 * 1024 * 1024

/** @throws Error when the body breaks off or never ends */
export async function readText(body: ByteReader): Promise<string> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for (let chunk = await body.read(); chunk !== undefined; chunk = await body.read()) {
    bytes += chunk.byteLength
    if (bytes > maxListBytes) {
      body.cancel()
      throw new Error(`the answer has more than ${maxListBytes} bytes`)
    }
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

/**
 * The complete lines of a body, those of each chunk together. What stands after the last line break when the body ends is
 * half an event, and not for use.
 */
export async function* readLines(body: ByteReader): AsyncGenerator<readonly string[], void> {
  let rest: Buffer = Buffer.alloc(0)
  for (let chunk = await body.read(); chunk !== undefined; chunk = await body.read()) {
    // Cut as bytes: a character may lie across two chunks.
    const bytes = rest.byteLength === 0 ? Buffer.from(chunk) : Buffer.concat([rest, chunk])
    const end = bytes.lastIndexOf(0x0a)
    rest = bytes.subarray(end + 1)
    if (rest.byteLength > maxLineBytes) {
      body.cancel()
      throw new Error(`an event has more than ${maxLineBytes} bytes`)
    }
    if (end === -1) continue
    const lines = bytes.toString('utf8', 0, end).split('\n')
    yield lines.filter((line) => line.trim() !== '')
  }
}

/** The result of `work` on an answer, which is aborted when that takes longer than `ms`. */
export async function abortAfter<T>(
  { clock, ms }: { readonly clock: Clock; readonly ms: number },
  pending: PendingAnswer,
  work: () => Promise<T>,
): Promise<T> {
  let late = false
  const cancelTimer = clock.after(ms, () => {
    late = true
    pending.abort()
  })
  try {
    return await work()
  } catch (error) {
    throw late ? new Error(`no answer within ${ms / 1000} s`) : error
  } finally {
    cancelTimer()
  }
}
