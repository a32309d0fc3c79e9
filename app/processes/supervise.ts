import type { Config } from '../config/settings.ts'
import type { ReadConfig } from '../gateway/reloader.ts'
import { readPage } from '../operations/page-files.ts'
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
  /** Reads the configuration anew. */
  readonly readConfig?: ReadConfig | undefined
}

/** A router of several processes, as the program runs it. */
export async function supervise(config: Config, options: SuperviseOptions): Promise<Supervisor> {
  const runtime = await detectRuntime()
  const page = await readPage()
  return new Supervisor({ ...options, config, page, command: ownCommand(), runtime, clock: systemClock })
}
