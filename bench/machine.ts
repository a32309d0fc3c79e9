import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { availableParallelism, release, totalmem } from 'node:os'
import { join } from 'node:path'
import type { Contender } from './contenders/contender.ts'
import { versionOf } from './contenders/version-of.ts'
import { installed } from './installed.ts'

/** What the figures depend on besides the programs. */
export interface Machine {
  readonly date: string
  readonly processor: string
  readonly cores: number
  readonly memoryGb: number
  readonly kernel: string
  readonly openFiles: string
  readonly router: string
  readonly versions: Readonly<Record<string, string>>
}

export function describeMachine(routerDirectory: string, contenders: readonly Contender[]): Machine {
  const processor = /^model name\s*: (.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? 'unknown'
  const openFiles = /^Max open files\s+\S+\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1]
  const versions = contenders
    .filter(({ name }) => name !== 'direct')
    .map((contender) => [contender.name, contender.version() ?? 'not installed'] as const)
  return {
    date: new Date().toISOString().slice(0, 16).replace('T', ' '),
    processor,
    cores: availableParallelism(),
    memoryGb: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    openFiles: openFiles ?? 'unknown',
    router: routerVersion(routerDirectory),
    versions: { ...Object.fromEntries(versions), wrk: versionOf(installed('wrk'), '-v') ?? 'not installed' },
  }
}

function routerVersion(directory: string): string {
  const { version } = JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8')) as { version: string }
  const git = (...args: string[]): string =>
    spawnSync('git', ['-C', directory, ...args], { encoding: 'utf8' }).stdout?.trim() ?? ''
  const commit = git('rev-parse', '--short', 'HEAD')
  if (commit === '') return version
  // What is being tried out is not what the commit says.
  const changed = git('status', '--porcelain', '--', 'app', 'middleware', 'policies') !== ''
  return `${version} (${commit}${changed ? ' and uncommitted changes' : ''})`
}
