import { nearest } from './kinds/nearest.ts'
import { notSupported } from './not-supported.ts'
import type { ConfigProblem } from './problem.ts'
import { settingNamed, settingNames } from './settings.ts'

/**
 * The fault for a name that is no setting: not supported yet, or unknown with the nearest known name.
 * `spell` writes a kebab-case name the way the source writes it.
 */
export function unknownName(
  kind: 'flag' | 'variable' | 'key',
  name: string,
  origin: string,
  spell: (flag: string) => string,
  more: readonly string[] = [],
): ConfigProblem {
  const refused = notSupported(name)
  if (refused !== undefined) return { name: spell(name), origin, problem: refused }
  // The Python launcher of server and router together writes --router-policy for --policy.
  const bare = name.replace(/^router-/, '')
  const meant = settingNamed(bare)?.flag ?? nearest(name, [...settingNames, ...more])
  return {
    name: spell(name),
    origin,
    problem: `unknown ${kind}`,
    hint: meant === undefined ? 'see --help-all for all settings' : `did you mean ${spell(meant)}?`,
  }
}
