/**
 * Runs a root file system as Kubernetes would run the image: uid 10001, read-only, no capabilities, no new privileges, the
 * program as process 1, a network and a process list of its own. With bubblewrap, where it is installed; root or not.
 */

import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { within } from './deadline.ts'
import type { Scope } from './scope.ts'

export interface SandboxOptions {
  /** Directory that becomes `/`. */
  readonly root: string
  readonly command: readonly string[]
  /** All of its environment. */
  readonly env: Readonly<Record<string, string>>
  /** Path within -> directory or file of this machine, read-only. */
  readonly mounts: Readonly<Record<string, string>>
  readonly uid: number
  readonly t: Scope
}

export interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface Sandbox {
  /** Of process 1, as this machine counts. */
  readonly pid: number
  /** Exit code; above 128: the signal that ended it. */
  readonly exited: Promise<number | null>
  stdout(): string
  stderr(): string
  signal(signal: NodeJS.Signals): void
  /** What `kubectl exec` does: a command in the same container. Rejects after `withinMs` (15 s). */
  exec(command: readonly string[], withinMs?: number): Promise<Ended>
  /** The same through a shell, for the guide's pipes. */
  shell(line: string, withinMs?: number): Promise<Ended>
  /** A command of this machine in the sandbox's network, to its end: a client that the container's end does not kill. */
  outside(command: readonly string[], withinMs?: number): Promise<Ended>
  /** A program of this machine, with its files, in the sandbox's network: what stands beside the pod. */
  beside(command: readonly string[]): ChildProcess
}

function works(program: string, args: readonly string[]): boolean {
  return spawnSync(program, args, { stdio: 'ignore' }).status === 0
}

/** Why tests that need it are left out; false where they can run. */
export function withoutSandbox(): string | false {
  if (!works('bwrap', ['--version'])) return 'bubblewrap is not installed'
  if (!works('curl', ['--version'])) return 'curl is not installed'
  const probe = [
    ...demotion(10_001),
    'bwrap',
    '--unshare-all',
    '--uid',
    '10001',
    '--ro-bind',
    '/',
    '/',
    'true',
  ]
  const [program = '', ...args] = probe
  return works(program, args) ? false : 'this machine lets nobody make namespaces'
}

/** Root outside would own root's files inside: then no missing permission is ever found. */
function demotion(uid: number): string[] {
  if (process.getuid?.() !== 0) return ['setpriv', '--no-new-privs']
  return ['setpriv', `--reuid=${uid}`, `--regid=${uid}`, '--clear-groups', '--no-new-privs']
}

const path = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

function bubblewrap({ root, command, env, mounts, uid }: SandboxOptions): string[] {
  const id = String(uid)
  return [
    ...['bwrap', '--unshare-all', '--uid', id, '--gid', id, '--cap-drop', 'ALL'],
    ...['--as-pid-1', '--die-with-parent', '--new-session', '--info-fd', '3', '--chdir', '/', '--clearenv'],
    ...Object.entries({ PATH: path, ...env }).flatMap(([name, value]) => ['--setenv', name, value]),
    ...['--ro-bind', root, '/', '--proc', '/proc', '--tmpfs', '/dev'],
    // Not --dev: it needs a second user namespace, which commands could not enter then.
    ...['null', 'urandom', 'random', 'zero'].flatMap((name) => [
      '--dev-bind',
      `/dev/${name}`,
      `/dev/${name}`,
    ]),
    ...Object.entries(mounts).flatMap(([inside, outside]) => ['--ro-bind', outside, inside]),
    ...['--', ...command],
  ]
}

export async function startSandbox(options: SandboxOptions): Promise<Sandbox> {
  const demoted = demotion(options.uid)
  const [program = '', ...args] = [...demoted, ...bubblewrap(options)]
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe', 'pipe'] })
  const exited = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => resolve(code))
  })
  exited.catch(() => {})
  const output = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const)
    child[name]?.setEncoding('utf8').on('data', (text: string) => {
      output[name] += text
    })
  const info = new Promise<number>((resolve) => {
    let text = ''
    child.stdio[3]?.on('data', (chunk: Buffer) => {
      text += chunk.toString()
      const pid = /"child-pid": (\d+)/.exec(text)?.[1]
      if (pid !== undefined) resolve(Number(pid))
    })
  })
  const gone = exited.then((code): never => {
    throw new Error(`bubblewrap ended with ${code}: ${output.stderr}`)
  })
  const pid = await within(10_000, Promise.race([info, gone]), 'the process id of the sandbox')
  gone.catch(() => {})
  options.t.after(async () => {
    child.kill('SIGKILL')
    await within(5000, exited, 'the end of the sandbox')
  })

  const enter = ['nsenter', `--target=${pid}`, '--user', '--net', '--preserve-credentials']
  const exec = (command: readonly string[], withinMs = 15_000): Promise<Ended> =>
    toEnd(
      [
        ...demoted,
        ...enter,
        '--mount',
        '--pid',
        '--ipc',
        'env',
        '-i',
        `PATH=${path}`,
        ...envWords(options),
        ...command,
      ],
      withinMs,
    )
  return {
    pid,
    exited,
    stdout: () => output.stdout,
    stderr: () => output.stderr,
    signal: (signal) => void process.kill(pid, signal),
    exec,
    shell: (line, withinMs) => exec(['sh', '-c', line], withinMs),
    outside: (command, withinMs = 15_000) => toEnd([...demoted, ...enter, ...command], withinMs),
    beside: (command) => {
      const [name = '', ...rest] = [...demoted, ...enter, ...command]
      const other = spawn(name, rest, { stdio: ['ignore', 'pipe', 'pipe'], cwd: '/' })
      options.t.after(() => other.kill('SIGKILL'))
      return other
    },
  }
}

function envWords({ env }: SandboxOptions): string[] {
  return Object.entries(env).map(([name, value]) => `${name}=${value}`)
}

async function toEnd(command: readonly string[], withinMs: number): Promise<Ended> {
  const [program = '', ...args] = command
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], cwd: '/' })
  const output = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const)
    child[name].setEncoding('utf8').on('data', (text: string) => {
      output[name] += text
    })
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => resolve(code))
  })
  try {
    return { code: await within(withinMs, ended, args.slice(-3).join(' ')), ...output }
  } finally {
    child.kill('SIGKILL')
  }
}
