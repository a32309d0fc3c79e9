import type { Config } from '../config/settings.ts'
import { systemClock } from '../runtime/clock.ts'
import { detectRuntime } from '../runtime/detect.ts'
import { ownCommand } from '../runtime/own-command.ts'
import type { Log } from '../telemetry/log.ts'
import { Supervisor } from './supervisor.ts'

export interface SuperviseOptions {
  readonly count: number
  /** The flags that the router was started with. */
  readonly argv: readonly string[]
  readonly log: Log
}

/** A router of several processes, as the program runs it. */
export async function supervise(config: Config, options: SuperviseOptions): Promise<Supervisor> {
  const runtime = await detectRuntime()
  return new Supervisor({ ...options, config, command: ownCommand(), runtime, clock: systemClock })
}
