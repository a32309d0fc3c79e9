import type { TlsFiles } from '../upstream/http-client.ts'

/** One worker as a source knows it. */
export interface Member {
  /** A worker URL, already checked and in the form that `parseWorkerUrl` gives. */
  readonly url: string
  /** Tells apart two workers that follow each other at one address; the uid of a pod. */
  readonly identity?: string | undefined
  /** Gets nothing new, finishes what it has. */
  readonly draining?: boolean
  /** How much of the work it should get, beside others: above 0. Default 1. */
  readonly weight?: number | undefined
  /** In place of what the configuration says for all workers. */
  readonly tls?: TlsFiles
}

/** Where a source tells what it finds out. */
export interface SourceReport {
  /** The whole set as it is now. A source that cannot tell says nothing, and its last known workers are kept. */
  found(members: readonly Member[]): void
  /** There was contact just now: what was found last is still true. */
  alive(): void
  /**
   * Something does not work. What was found last stays.
   * @param activity what the source was doing; `recovered` with the same word takes it back
   */
  failed(activity: string, reason: string): void
  recovered(activity: string): void
}

/** Finds out who the workers are, for as long as it runs. It never throws: it reports. */
export interface Source {
  /** Value of the label `source`, from the configuration alone; unique among the sources of a router. */
  readonly name: string
  /** It found everything at its start and cannot fall behind. */
  readonly fixed?: true
  start(report: SourceReport): void
  stop(): void
}
