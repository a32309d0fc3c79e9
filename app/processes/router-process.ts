import { spawn } from 'node:child_process'
import { RouterError } from '../../http/errors.ts'
import { type OwnCommand, processVerb } from '../runtime/own-command.ts'
import type { ProcessCalls, StartOrder, SupervisorCalls } from './calls.ts'
import { Channel, type Handlers } from './channel.ts'
import { RemoteControl } from './remote-control.ts'

export interface RouterProcessOptions {
  /** Unlike any other's. */
  readonly id: number
  /** From 1; its replacement has the same. */
  readonly number: number
  readonly command: OwnCommand
  /** Flags of the router. */
  readonly argv: readonly string[]
  readonly handlers: Handlers<SupervisorCalls>
}

/** How a process ended. */
export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

/** One of the processes, as its supervisor sees it. */
export class RouterProcess {
  readonly id: number
  readonly number: number
  readonly pid: number
  readonly channel: Channel<SupervisorCalls, ProcessCalls>
  readonly control: RemoteControl
  /** Resolves when the process is gone. */
  readonly ended: Promise<Exit>
  /** It listens. */
  serving = false
  gone = false
  readonly #kill: (signal: NodeJS.Signals) => void

  constructor({ id, number, command, argv, handlers }: RouterProcessOptions) {
    this.id = id
    this.number = number
    // Not in a group of its own: what is sent to the whole group reaches all of them.
    const child = spawn(command.file, [...command.args, processVerb, ...argv], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
    this.pid = child.pid ?? 0
    this.#kill = (signal) => child.kill(signal)
    this.ended = new Promise((resolve) => {
      child.once('exit', (code, signal) => resolve({ code, signal }))
      // It could not be started at all.
      child.once('error', () => child.pid === undefined && resolve({ code: null, signal: null }))
    })
    void this.ended.then(() => {
      this.gone = true
      this.serving = false
    })
    this.channel = new Channel(child, handlers)
    this.control = new RemoteControl(this.channel)
  }

  /** Resolves when it listens; rejects with its error, or when it ends before. */
  async start(order: StartOrder): Promise<void> {
    try {
      await this.channel.call('start', order)
    } catch (error) {
      if (!(error instanceof RouterError)) throw error
      // That the pipe broke says less than how the process ended.
      const { code, signal } = await this.ended
      throw new Error(`a process of the router ended before it listened (${signal ?? `code ${code}`})`)
    }
    this.serving = !this.gone
  }

  kill(): void {
    this.#kill('SIGKILL')
  }
}
