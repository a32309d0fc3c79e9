import type {
  ConfigView,
  FlushResult,
  ReloadResult,
  RouterControl,
  TenantLimitsView,
  Vitals,
} from '../operations/router-control.ts'
import type { DryRun, DryRunRequest } from '../request/dry-run.ts'
import type { RequestFilter, RequestView } from '../request/request-view.ts'
import type { UsageFilter, UsageReport } from '../usage/usage-report.ts'
import type { WorkerState } from '../workers/worker-state.ts'
import type { ControlCalls } from './calls.ts'
import type { Handlers } from './channel.ts'

/** The part of a channel that a control needs. */
export interface ControlChannel {
  call<N extends keyof ControlCalls>(
    name: N,
    argument: ControlCalls[N][0],
    signal?: AbortSignal,
  ): Promise<ControlCalls[N][1]>
}

/** The control at the other end of a channel. */
export class RemoteControl implements RouterControl {
  readonly #channel: ControlChannel

  constructor(channel: ControlChannel) {
    this.#channel = channel
  }

  vitals(): Promise<Vitals> {
    return this.#channel.call('vitals', null)
  }

  workers(): Promise<readonly WorkerState[]> {
    return this.#channel.call('workers', null)
  }

  worker(idOrUrl: string): Promise<WorkerState> {
    return this.#channel.call('worker', idOrUrl)
  }

  add(url: string): Promise<WorkerState> {
    return this.#channel.call('add', url)
  }

  addAndAwait(url: string, signal: AbortSignal): Promise<WorkerState> {
    return this.#channel.call('addAndAwait', url, signal)
  }

  remove(idOrUrl: string): Promise<string> {
    return this.#channel.call('remove', idOrUrl)
  }

  setDraining(worker: string, draining: boolean): Promise<WorkerState> {
    return this.#channel.call('setDraining', { worker, draining })
  }

  requests(filter: RequestFilter): Promise<readonly RequestView[]> {
    return this.#channel.call('requests', filter)
  }

  dryRun({ body, ...request }: DryRunRequest): Promise<DryRun> {
    const { buffer, byteOffset, byteLength } = body
    const text = Buffer.from(buffer, byteOffset, byteLength).toString('base64')
    return this.#channel.call('dryRun', { ...request, body: text })
  }

  tenantLimits(): Promise<TenantLimitsView> {
    return this.#channel.call('tenantLimits', null)
  }

  usage(filter: UsageFilter): Promise<UsageReport> {
    return this.#channel.call('usage', filter)
  }

  settings(): Promise<ConfigView> {
    return this.#channel.call('settings', null)
  }

  reload(): Promise<ReloadResult> {
    return this.#channel.call('reload', null)
  }

  flushCaches(): Promise<readonly FlushResult[]> {
    return this.#channel.call('flushCaches', null)
  }
}

/** The other end of a RemoteControl: answers with the control that there is. */
export function controlHandlers(control: () => RouterControl): Handlers<ControlCalls> {
  return {
    vitals: () => control().vitals(),
    workers: () => control().workers(),
    worker: (idOrUrl) => control().worker(idOrUrl),
    add: (url) => control().add(url),
    addAndAwait: (url, signal = new AbortController().signal) => control().addAndAwait(url, signal),
    remove: (idOrUrl) => control().remove(idOrUrl),
    setDraining: ({ worker, draining }) => control().setDraining(worker, draining),
    flushCaches: () => control().flushCaches(),
    requests: (filter) => control().requests(filter),
    dryRun: ({ body, ...request }) => control().dryRun({ ...request, body: Buffer.from(body, 'base64') }),
    tenantLimits: () => control().tenantLimits(),
    usage: (filter) => control().usage(filter),
    settings: () => control().settings(),
    reload: () => control().reload(),
  }
}
