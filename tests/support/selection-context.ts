import type { SelectionContext } from '../../policies/selection/policy.ts'

/** What a policy gets, with the defaults of the settings. */
export function selectionContext(parts: Partial<SelectionContext> = {}): SelectionContext {
  return {
    random: () => 0.5,
    now: () => 0,
    settings: {
      cacheThreshold: 0.3,
      balanceAbs: 64,
      balanceRel: 1.5,
      evictionMs: 0,
      maxTreeSize: 2 ** 26,
      sessionMs: 1_800_000,
    },
    ...parts,
  }
}
