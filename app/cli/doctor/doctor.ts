import { loadConfig } from '../../config/load-config.ts'
import { tlsFaults } from '../../config/tls-faults.ts'
import type { CommandContext } from '../cli.ts'
import { routerFetch } from '../router-fetch.ts'
import { plain } from '../text-table.ts'
import { type OwnFlags, splitArguments } from '../verbs.ts'
import type { Check, Finding, Verdict } from './facts.ts'
import { models, sources, twice, workerVersions } from './fleet-checks.ts'
import { gatherFacts } from './gather.ts'
import { certificates, openFiles, podAddresses, ports, runtime } from './host-checks.ts'
import { clientKeys } from './key-checks.ts'
import { adminKey, inUse, reload, routerMetrics, routerVersion } from './router-checks.ts'
import { clock, reach, workerKey, workerMetrics } from './worker-checks.ts'

/** In the order in which a person would look. */
export const checks: readonly Check[] = [
  ...[runtime, ports, podAddresses, openFiles, certificates],
  ...[sources, reach, workerKey, twice, models, workerVersions, workerMetrics, clock],
  ...[clientKeys, adminKey, routerMetrics, routerVersion, reload, inUse],
]

interface Result {
  readonly check: string
  readonly right: string
  readonly verdict: Verdict
}

/** Looks for the usual faults, before a start or beside a router that runs; exit code 1 when there are any. */
export async function doctor(argv: readonly string[], context: CommandContext): Promise<number> {
  const { out } = context
  const { words, own, settings } = splitArguments('doctor', argv)
  const results = await examine({ ...context, argv: [...words, ...settings] }, own)
  out(own.json === undefined ? report(results) : `${JSON.stringify(results.map(asJson), undefined, 2)}\n`)
  return results.some(({ verdict }) => isWrong(verdict)) ? 1 : 0
}

async function examine(
  context: CommandContext & { readonly argv: readonly string[] },
  own: OwnFlags,
): Promise<Result[]> {
  const { env, version } = context
  const loaded = await loadConfig(context)
  const shown = loaded.ok && own.url === undefined ? loaded.config.prometheusTlsCertFile : undefined
  const reached = routerFetch({ own, shown, fetch: context.fetch })
  const unread = 'faults' in reached ? reached.faults : []
  const faults = [...(loaded.ok ? tlsFaults(loaded.config) : loaded.faults), ...unread]
  const findings = faults.map(({ name, origin, problem, allowed, hint }): Finding => {
    const remedy = [allowed === undefined ? undefined : `allowed: ${allowed}`, hint]
      .filter(Boolean)
      .join('; ')
    return { about: `${name} (${origin})`, problem, remedy: remedy === '' ? 'put it right' : remedy }
  })
  const configuration = {
    check: 'configuration',
    right: 'flags, variables and file are right',
    verdict: findings,
  }
  // Nobody knows what is meant: there is nothing else to look at.
  if (!loaded.ok || 'faults' in reached || faults.length > 0) return [configuration]
  const { config } = loaded
  const facts = await gatherFacts({ config, env, version, fetch: reached.fetch, url: own.url })
  return [
    configuration,
    ...checks.map(({ name, right, look }) => ({ check: name, right, verdict: look(facts) })),
  ]
}

function isWrong(verdict: Verdict): boolean {
  return typeof verdict !== 'string' && verdict.length > 0
}

const nameWidth = 15

function report(results: readonly Result[]): string {
  const count = results.reduce(
    (sum, { verdict }) => sum + (typeof verdict === 'string' ? 0 : verdict.length),
    0,
  )
  const summary = count === 0 ? 'nothing wrong was found' : count === 1 ? '1 fault' : `${count} faults`
  return `${results.flatMap(linesOf).join('\n')}\n\n${summary}\n`
}

function linesOf({ check, right, verdict }: Result): string[] {
  const name = check.padEnd(nameWidth)
  if (typeof verdict === 'string') return [`-      ${name} not checked: ${plain(verdict)}`]
  if (verdict.length === 0) return [`ok     ${name} ${right}`]
  const indent = ' '.repeat(nameWidth + 8)
  return together(verdict).flatMap(({ about, problem, remedy }) => [
    plain(`WRONG  ${name} ${about}: ${problem}`),
    plain(`${indent}-> ${remedy}`),
  ])
}

/** What is said of many alike is said once. */
function together(findings: readonly Finding[]): Finding[] {
  const groups = new Map<string, Finding[]>()
  for (const finding of findings) {
    const key = JSON.stringify([finding.problem, finding.remedy])
    groups.set(key, [...(groups.get(key) ?? []), finding])
  }
  return [...groups.values()].map((group) => {
    const named = group.slice(0, 3).map(({ about }) => about)
    const more = group.length > 3 ? ` and ${group.length - 3} more` : ''
    return { ...group[0]!, about: named.join(', ') + more }
  })
}

function asJson({ check, verdict }: Result): object {
  if (typeof verdict === 'string') return { check, result: 'not checked', why: verdict }
  return { check, result: verdict.length === 0 ? 'ok' : 'wrong', findings: verdict }
}
