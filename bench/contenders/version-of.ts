import { spawnSync } from 'node:child_process'

/** The first version number that a program prints. */
export function versionOf(program: string | undefined, ...args: string[]): string | undefined {
  if (program === undefined) return undefined
  const { stdout, stderr } = spawnSync(program, args, { encoding: 'utf8', timeout: 10_000 })
  return /\d+(?:\.\d+)+/.exec(`${stdout}\n${stderr}`)?.[0] ?? 'unknown'
}
