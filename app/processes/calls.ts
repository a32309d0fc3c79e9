import type { Standing } from '../../http/priority.ts'
import type { ShareAnswer, ShareRequest } from '../../policies/limits/limits-store.ts'
import type { Made } from '../api/response-state.ts'
import type { ConfigProblem } from '../config/problem.ts'
import type { Config } from '../config/settings.ts'
import type {
  ConfigView,
  FlushResult,
  ReloadResult,
  TenantLimitsView,
  Vitals,
} from '../operations/router-control.ts'
import type { DryRun, DryRunRequest } from '../request/dry-run.ts'
import type { RequestFilter, RequestView } from '../request/request-view.ts'
import type { Samples } from '../telemetry/exposition.ts'
import type { UsageFilter, UsageReport } from '../usage/usage-report.ts'
import type { UsageRow } from '../usage/usage-row.ts'
import type { OperatorChanges } from '../workers/registry.ts'
import type { WorkerState } from '../workers/worker-state.ts'

/** The body in base64: a message is JSON. */
export type WireDryRunRequest = Omit<DryRunRequest, 'body'> & { readonly body: string }

/** RouterControl as calls: a process answers them for itself, the supervisor for all. */
export interface ControlCalls {
  vitals: [null, Vitals]
  workers: [null, readonly WorkerState[]]
  worker: [string, WorkerState]
  add: [string, WorkerState]
  addAndAwait: [string, WorkerState]
  remove: [string, string]
  setDraining: [{ readonly worker: string; readonly draining: boolean }, WorkerState]
  flushCaches: [null, readonly FlushResult[]]
  requests: [RequestFilter, readonly RequestView[]]
  dryRun: [WireDryRunRequest, DryRun]
  tenantLimits: [null, TenantLimitsView]
  usage: [UsageFilter, UsageReport]
  settings: [null, ConfigView]
  reload: [null, ReloadResult]
}

/** What the supervisor can ask of a process. */
export interface ProcessCalls extends ControlCalls {
  /** Comes first, once; answered when it listens. */
  start: [StartOrder, null]
  /** Answered as long as its thread turns. */
  ping: [null, null]
  /** Of these metrics, or of all. */
  samples: [readonly string[] | null, Samples]
  /** Whose request made the response with this id; null: it does not know. */
  madeBy: [string, Made | null]
  /** Hands on the usage that it has counted until now. */
  flushUsage: [null, null]
  operatorChanges: [null, OperatorChanges]
  adopt: [OperatorChanges, null]
  /** Answered when the worker is healthy there, or after a while. */
  untilHealthy: [string, null]
  drain: [{ readonly settle: boolean }, null]
  /** Makes what another configuration needs and keeps it, answers with what is wrong, and changes nothing. */
  prepare: [{ readonly reload: number; readonly config: Partial<Config> }, readonly ConfigProblem[]]
  /** Takes over what was prepared for that reload. */
  commit: [number, null]
}

export interface StartOrder {
  /** From 1. */
  readonly number: number
  /** Without what is code. */
  readonly config: Partial<Config>
  /** There is code in the configuration: the process loads it itself. */
  readonly hasCode: boolean
  /** How many workers must be available to it before it takes requests, within reason: as many as to the others. */
  readonly awaitAvailable: number
  readonly word: OperatorChanges | undefined
  /** Slots are asked for. */
  readonly sharesCap: boolean
  /** Requests per second are asked for. */
  readonly sharesRate: boolean
}

/** What a process can ask of the supervisor. */
export interface SupervisorCalls extends ControlCalls {
  /** Waits for a slot, by a ticket that the process makes up. */
  enter: [{ readonly ticket: number; readonly standing?: Standing | undefined }, null]
  /** Gives the slot of that ticket back, or the place in the line. */
  leave: [number, null]
  /** One more request: milliseconds to wait, 0 for none. */
  take: [null, number]
  /** Tells what was used of a tenant's limits, and takes more of them ahead. */
  share: [{ readonly tenant: string; readonly request: ShareRequest }, ShareAnswer]
  /** The same of all other processes. */
  madeElsewhere: [string, Made | null]
  /** What it has counted since the last time. Answered when it is kept. */
  addUsage: [readonly UsageRow[], null]
  /** An operator has changed something. */
  operatorChanged: [OperatorChanges, null]
}
