import type { AdmissionObserver } from '../../policies/limits/admission-queue.ts'
import type { Metrics } from './metrics.ts'

/** Counts who waits for a slot, how long, and who gets none. */
export function admissionCounts(metrics: Metrics): AdmissionObserver {
  return {
    depthChanged(depth, priority, ofClass) {
      metrics.queueDepth.set(depth)
      metrics.queueClassDepth.set({ class: priority }, ofClass)
    },
    admitted(waitedMs, priority) {
      metrics.queueWait.of().observe(waitedMs / 1000)
      metrics.queueClassWait.of(priority).observe(waitedMs / 1000)
    },
    rejected(reason, _, priority) {
      metrics.rejected.of(reason).inc()
      if (reason === 'shed') metrics.queueShed.of(priority).inc()
    },
  }
}
