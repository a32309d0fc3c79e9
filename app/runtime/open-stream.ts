import type { ByteSource } from '../upstream/http-client.ts'

/** A web stream that pulls from a source as fast as it is read itself, and no faster. */
export function openStream(source: ByteSource): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const chunk = await source.read()
        if (chunk === undefined) controller.close()
        else controller.enqueue(chunk)
      },
      cancel: () => source.cancel(),
    },
    { highWaterMark: 0 },
  )
}
