import { environmentName, environmentPrefix } from './kinds/setting.ts'
import { notSupportedVariables } from './not-supported.ts'
import { type ConfigProblem, got, type RawValue, type Reading } from './problem.ts'
import { settingNamed } from './settings.ts'
import { unknownName } from './unknown-name.ts'

export type Environment = Readonly<Record<string, string | undefined>>

/** The only look of the whole program at its environment. */
export function environment(): Environment {
  return process.env
}

/**
 * Reads the variables that begin with VLLM_ROUTER_. One that is no setting is a fault, because a typo must not be
 * silent; an empty one is a fault, because an empty list of keys would open the router.
 */
export function readEnvironment(env: Environment): Reading {
  const values = new Map<string, RawValue>()
  const faults: ConfigProblem[] = []
  for (const [variable, value] of Object.entries(env)) {
    if (value === undefined) continue
    const refused = Object.hasOwn(notSupportedVariables, variable)
      ? notSupportedVariables[variable]
      : undefined
    const origin = `environment ${variable}`
    if (refused !== undefined)
      faults.push({ name: variable, origin, problem: `not supported yet (${refused})` })
    if (!variable.startsWith(environmentPrefix) || isServiceLink(variable, value)) continue
    const name = variable.slice(environmentPrefix.length).toLowerCase().replaceAll('_', '-')
    const entry = settingNamed(name)
    const before = entry && values.get(entry.key)
    if (entry === undefined) faults.push(unknownName('variable', name, origin, environmentName))
    else if (before !== undefined && before.value !== value)
      faults.push({
        name: `--${entry.flag}`,
        origin,
        problem: got(value, entry.secret),
        hint: `${before.origin.text} says something else`,
      })
    else values.set(entry.key, { key: entry.key, value, origin: { source: 'environment', text: origin } })
  }
  return { values: [...values.values()], faults }
}

/**
 * Kubernetes gives every pod variables for each Service of its namespace. A Service that is called `vllm-router` makes
 * VLLM_ROUTER_PORT=tcp://10.0.0.1:8080 and VLLM_ROUTER_SERVICE_HOST, one that is called `vllm-router-prometheus` makes
 * VLLM_ROUTER_PROMETHEUS_PORT=tcp://...: none of them is meant for us.
 */
function isServiceLink(variable: string, value: string): boolean {
  return (
    /_SERVICE_(HOST|PORT)(_[A-Z0-9_]+)?$/.test(variable) ||
    /_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$/.test(variable) ||
    (/_PORT$/.test(variable) && /^(tcp|udp|sctp):\/\//.test(value))
  )
}
