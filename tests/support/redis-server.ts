/** A real Redis or Valkey server of a test's own. */

import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { connect } from 'node:net'
import { eventually } from './deadline.ts'
import { quietPort } from './quiet-port.ts'
import type { Scope } from './scope.ts'

const binary = ['redis-server', 'valkey-server'].find((name) => spawnSync(name, ['--version']).status === 0)

/** For tests that need one: why they cannot run here, else false. */
export const withoutRedis = binary === undefined ? 'neither redis-server nor valkey-server is on PATH' : false

export interface RedisServer {
  readonly port: number
  readonly url: string
  /** SIGKILL; resolves when it is gone. */
  kill(): Promise<void>
  /** On the same port, with nothing in it. */
  restart(): Promise<void>
  /** It takes connections and answers nothing, until `goOn`. */
  freeze(): void
  goOn(): void
}

/** @param args of the server, for example `--requirepass word` */
export async function startRedis(t: Scope, args: readonly string[] = []): Promise<RedisServer> {
  const port = await quietPort()
  let child = await started(port, args)
  const kill = async () => {
    const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
    if (child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGKILL')
    await ended
  }
  const atExit = () => child.kill('SIGKILL')
  process.once('exit', atExit)
  t.after(async () => {
    process.off('exit', atExit)
    await kill()
  })
  return {
    port,
    url: `redis://127.0.0.1:${port}/0`,
    kill,
    async restart() {
      child = await started(port, args)
    },
    freeze: () => void child.kill('SIGSTOP'),
    goOn: () => void child.kill('SIGCONT'),
  }
}

async function started(port: number, args: readonly string[]): Promise<ChildProcess> {
  // Nothing is written anywhere.
  const all = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', ...args]
  const child = spawn(binary ?? '', all, { stdio: 'ignore' })
  await eventually(() => child.exitCode !== null || isListening(port), { what: 'a store that listens' })
  if (child.exitCode !== null) throw new Error(`${binary} ended with code ${child.exitCode}`)
  return child
}

function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' })
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
