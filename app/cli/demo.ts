import { type Fleet, startFleet } from '../../sim/fleet.ts'

/** Milliseconds: a small model's pace, so that streams are seen to stream. */
const pace = { ttftMs: 60, tokenMs: 15, jitter: 0.3 }

/** The simulated vLLM servers of `--demo`, within this process. */
export function startDemoFleet(size: number): Promise<Fleet> {
  return startFleet({ size, ...pace })
}
