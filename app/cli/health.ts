import { loadConfig } from '../config/load-config.ts'
import { type ConfigProblem, formatProblems, quoted } from '../config/problem.ts'
import type { Config } from '../config/settings.ts'
import type { CommandContext } from './cli.ts'
import { routerFetch } from './router-fetch.ts'
import { addressOf, operationsOf, reasonOf } from './running-router.ts'
import { splitArguments } from './verbs.ts'

const timeoutMs = 5000

/** Exit code 1 for everything but a healthy router, a wrong configuration included: container runtimes reserve 2. */
export async function askHealth(argv: readonly string[], context: CommandContext): Promise<number> {
  const { out, err, fetch } = context
  const { words, own, settings } = splitArguments('health', argv)
  const loaded = await loadConfig({ ...context, argv: [...words, ...settings] })
  const asked = own.url === undefined ? undefined : parseUrl(own.url, loaded.ok ? loaded.config : undefined)
  const shown = asked === undefined ? (loaded.ok ? loaded.config.tlsCertFile : undefined) : asked.shown
  const reached = routerFetch({ own, shown, fetch })
  const faults = [
    ...(loaded.ok ? [] : loaded.faults),
    ...(asked && 'fault' in asked ? [asked.fault] : []),
    ...('faults' in reached ? reached.faults : []),
  ]
  if (!loaded.ok || (asked && 'fault' in asked) || 'faults' in reached) {
    err(`${formatProblems(faults)}\n`)
    return 1
  }
  const { host, port, tlsCertFile } = loaded.config
  const target = asked?.url ?? `${addressOf(host, port, tlsCertFile !== undefined)}/health`
  try {
    const response = await reached.fetch(target, { signal: AbortSignal.timeout(timeoutMs) })
    const text = (await response.text()).trim()
    const isOk = response.status >= 200 && response.status < 300
    const write = isOk ? out : err
    write(`${response.status} ${text}\n`)
    return isOk ? 0 : 1
  } catch (error) {
    err(`no answer from ${target}: ${reasonOf(error)}\n`)
    return 1
  }
}

type Asked = { readonly url: string } | { readonly fault: ConfigProblem }

/** A path alone is one of the operations listener that the settings name. */
function parseUrl(
  written: string,
  config: Config | undefined,
): Asked & { readonly shown?: string | undefined } {
  if (/^\/[^\s#]*$/.test(written) && config !== undefined)
    return { url: `${operationsOf(config)}${written}`, shown: config.prometheusTlsCertFile }
  if (/^https?:\/\//.test(written) && URL.canParse(written)) {
    const url = new URL(written)
    if (url.pathname === '/') url.pathname = '/health'
    return { url: url.href }
  }
  const problem = written === '' ? 'got nothing' : `got ${quoted(written)}`
  const allowed =
    'an http:// or https:// URL, with the path of another check if wanted, or only such a path of the operations listener'
  return { fault: { name: '--url', origin: 'flag --url', problem, allowed } }
}
