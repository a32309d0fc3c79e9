import type { ScriptedWorker } from './scripted-worker.ts'
import { chunk, completed, lastChunk, streamHead, until } from './wire.ts'

/** The worker holds its streams after their first token until the gate opens; other requests it answers as ever. */
export function holdStreams(worker: ScriptedWorker, gate: Promise<void>): void {
  worker.use((request) => {
    if (!request.stream) return undefined
    const { prelude, tokens, finish } = worker.answerTo(request)
    const [first = '', ...rest] = tokens
    const begin = [...prelude, first].map(chunk)
    return [streamHead(), ...begin, until(gate), ...[...rest, ...finish].map(chunk), lastChunk, completed]
  })
}
