/** A fault, worked out for one answer: at which moment, after how many tokens, and what then. */
import type { Fault } from './fault.ts'

export interface Breakage {
  when: 'before-head' | 'after-head' | 'first-event' | 'tokens'
  /** Tokens sent before it. */
  tokens: number
  action: 'reset' | 'close' | 'hang' | 'die' | 'end' | 'failure'
  /** Half of the next event goes out as well. */
  halfEvent: boolean
  delayMs: number
  /** Of the error event. */
  message: string
}

export const engineFailure = 'EngineCore encountered an issue'

/** The breakage that a fault means for an answer of so many steps; undefined when it does not concern the answer. */
export function breakageOf(fault: Fault, streamed: boolean, steps: number): Breakage | undefined {
  const common = { tokens: 0, halfEvent: false, delayMs: 0, message: engineFailure }
  switch (fault.kind) {
    case 'no-done':
      return streamed ? { ...common, when: 'tokens', tokens: steps, action: 'end' } : undefined
    case 'error-event': {
      if (!streamed) return undefined
      const { tokens = 0, message = engineFailure } = fault
      const when = tokens === 0 ? 'first-event' : 'tokens'
      return { ...common, when, tokens, action: 'failure', message }
    }
    case 'reset':
    case 'close':
    case 'hang':
    case 'die': {
      const { kind, at = 'before-head', tokens = 1, delayMs = 0 } = fault
      const placed = { ...common, action: kind, delayMs }
      if (at === 'before-head' || at === 'after-head') return { ...placed, when: at }
      if (at === 'after-role') return { ...placed, when: 'tokens' }
      return { ...placed, when: 'tokens', tokens, halfEvent: at === 'mid-event' }
    }
    default:
      return undefined
  }
}
