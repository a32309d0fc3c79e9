import type { Config } from '../config/settings.ts'

/**
 * The name of the policy that chooses for this model.
 * @param model one that a worker lists; undefined for all others
 */
export function policyNameOf(
  { policy, modelPolicy }: Pick<Config, 'policy' | 'modelPolicy'>,
  model: string | undefined,
): string {
  // The last one counts, as in the policies themselves. A model's name may have an equals sign, a policy's has none.
  const own = modelPolicy.findLast((entry) => entry.slice(0, entry.lastIndexOf('=')) === model)
  return own === undefined ? policy : own.slice(own.lastIndexOf('=') + 1)
}
